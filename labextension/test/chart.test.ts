import { afterEach, describe, expect, it, vi } from 'vitest';
import { golden, HandTransport, point, series, settle } from './stand';
import { LiveStore } from '../src/api/store';
import { plain } from '../src/api/transport';
import type { LiveEvent } from '../src/api/types';
import { faint, timeSplits } from '../src/chart/chart';
import { Feed } from '../src/chart/feed';
import { figuresCsv, figuresTable } from '../src/chart/figures';
import { drawnValues, valueAt, type LineSpec } from '../src/chart/lines';
import { marksOf, placeLabels } from '../src/chart/marks';
import { outages } from '../src/chart/outage';
import { logBounds, logTicks, sloLimit, zeroBounds } from '../src/chart/scales';
import { Spark, sparkPath } from '../src/chart/spark';
import { TimeGrid } from '../src/chart/window';

const filled = (grid: TimeGrid, column: 'p50_s' | 'requests_per_s' | 'memory_bytes'): (number | null)[] => [
  ...grid.column(column),
];

describe('a window of time', () => {
  it('reads the golden series; its gap stays a gap', () => {
    const grid = TimeGrid.of(golden().series, 3);
    expect(filled(grid, 'requests_per_s')).toEqual([212, null, 216.24]);
    expect([...grid.times]).toEqual([1763740797, 1763740798, 1763740799]);
  });

  it('shifts in place as time goes on, and takes corrections', () => {
    const grid = new TimeGrid(5, 1, 104);
    const kept = grid.column('p50_s');
    for (let t = 100; t < 108; t += 1) grid.put(t, () => t);
    expect(filled(grid, 'p50_s')).toEqual([103, 104, 105, 106, 107]);
    grid.put(105, () => 5);
    grid.put(90, () => 9);
    expect(filled(grid, 'p50_s')).toEqual([103, 104, 5, 106, 107]);
    grid.advance(109);
    expect(filled(grid, 'p50_s')).toEqual([5, 106, 107, null, null]);
    grid.advance(500);
    expect(filled(grid, 'p50_s')).toEqual([null, null, null, null, null]);
    expect(grid.column('p50_s')).toBe(kept);
    expect(grid.slot(499)).toBe(3);
    expect(grid.slot(501)).toBeNull();
  });

  it('puts a second into the slot that covers it', () => {
    const grid = new TimeGrid(60, 10, 995);
    expect([grid.start, grid.end]).toEqual([940, 990]);
    grid.put(987, () => 1);
    expect(filled(grid, 'p50_s')).toEqual([null, null, null, null, 1, null]);
  });
});

describe('outages', () => {
  const alive = (from: number, to: number, grid: TimeGrid): void => {
    for (let t = from; t <= to; t += 1) grid.put(t, () => 1);
  };
  const event = (kind: LiveEvent['kind'], at_s: number): LiveEvent => ({
    id: at_s,
    name: 'iris',
    at_s,
    kind,
    severity: 'info',
    version: 1,
    text: '',
  });

  it('are called by what happened: down, stopped, or not measured where nobody knows', () => {
    const grid = new TimeGrid(60, 1, 160);
    alive(101, 110, grid);
    alive(120, 130, grid);
    alive(140, 145, grid);
    alive(150, 160, grid);
    const events = [
      event('worker_died', 110.6),
      event('restarted', 119.5),
      event('stopped', 130.9),
      event('started', 139),
    ];
    const found = outages(grid, 161, 0, 'running', events);
    expect(found.map(({ from, to, what }) => [from, to, what])).toEqual([
      [111, 120, 'down'],
      [131, 140, 'stopped'],
      [146, 150, 'unknown'],
    ]);
  });

  it('do not begin before the deployment did, and do not end in a second that is only late', () => {
    const grid = new TimeGrid(60, 1, 160);
    alive(130, 158, grid);
    expect(outages(grid, 161, 120, 'running', [])).toMatchObject([{ from: 120, to: 130 }]);
    expect(outages(grid, 161, Infinity, 'running', [])).toEqual([]);
    grid.advance(168);
    expect(outages(grid, 170, Infinity, 'failed', [])).toMatchObject([{ from: 159, what: 'down' }]);
    expect(outages(grid, 170, Infinity, 'stopped', [])).toMatchObject([{ from: 159, what: 'stopped' }]);
  });

  it('an idle second is none', () => {
    const grid = new TimeGrid(30, 1, 130);
    for (let t = 101; t <= 130; t += 1) grid.put(t, (column) => (column === 11 ? 5e7 : null));
    expect(outages(grid, 131, 0, 'running', [])).toEqual([]);
  });
});

describe('value axes', () => {
  it('have round bounds, at least a decade on the logarithmic one', () => {
    expect(logBounds(0.0019, 0.0034, null, null)).toEqual([0.001, 0.01]);
    expect(logBounds(0.0019, 0.0034, 0.05, null)).toEqual([0.001, 0.1]);
    expect(logBounds(0.0019, 0.0034, 5, null)).toEqual([0.001, 0.01]); // an SLO far away does not flatten the lines
    expect(logBounds(null, null, null, null)).toEqual([0.001, 0.1]);
    for (const [min, max] of [
      [1e-5, 2e-5],
      [0.4, 90],
      [0.0099, 0.0101],
    ] as const) {
      const [low, high] = logBounds(min, max, null, null);
      expect(low).toBeLessThanOrEqual(min);
      expect(high).toBeGreaterThanOrEqual(max);
      expect(high / low).toBeGreaterThan(9);
    }
  });

  it('stay while the values move a little', () => {
    const before = logBounds(0.0019, 0.0034, null, null);
    expect(logBounds(0.0015, 0.0099, null, before)).toBe(before);
    expect(logBounds(0.0015, 0.02, null, before)).not.toBe(before);
    const zero = zeroBounds(283, 1, null);
    expect(zeroBounds(200, 1, zero)).toBe(zero);
    expect(zeroBounds(0, 1, zero)).toEqual([0, 1.2]);
  });

  it('have few ticks', () => {
    expect(logTicks([0.001, 0.01], 5).map((tick) => +tick.toPrecision(3))).toEqual([
      0.001, 0.002, 0.005, 0.01,
    ]);
    expect(logTicks([1e-6, 1e3], 5).length).toBeLessThanOrEqual(10);
  });

  it('know the line of an SLO', () => {
    expect(sloLimit('p99<50ms, errors<0.1%')).toEqual({
      quantile: 'p99',
      seconds: 0.05,
      text: 'SLO p99 < 50 ms',
    });
    expect(sloLimit('errors<1%, p95 <= 1.5 s')?.seconds).toBe(1.5);
    expect(sloLimit('errors<0.1%')).toBeNull();
  });

  it('have round times of the reader’s clock', () => {
    expect(timeSplits(1763740801, 1763740900, 30)).toEqual([1763740830, 1763740860, 1763740890]);
  });
});

describe('marks', () => {
  const event = (at_s: number, kind: LiveEvent['kind'], version: number): LiveEvent => ({
    id: at_s,
    name: 'iris',
    at_s,
    kind,
    severity: 'info',
    version,
    text: 't',
  });

  it('are the events within the window, in short words', () => {
    const marks = marksOf(
      [event(5, 'deployed', 1), event(15, 'swapped', 4), event(16, 'worker_died', 0)],
      10,
      20,
      plain,
    );
    expect(marks.map((mark) => mark.label)).toEqual(['v4 swapped in', 'worker died']);
    const unknown = { ...event(12, 'swapped', 4), kind: 'brand_new' } as unknown as LiveEvent;
    expect(marksOf([unknown], 10, 20, plain)[0]?.label).toBe('brand new');
  });

  it('leave a label out rather than write over another', () => {
    const places = placeLabels(
      [
        { x: 100, width: 60 },
        { x: 110, width: 60 },
        { x: 300, width: 60 },
        { x: 480, width: 60 },
      ],
      500,
    );
    expect(places).toEqual(['left', 'right', 'right', 'left']);
    const crowd = placeLabels(
      [100, 102, 104, 106].map((x) => ({ x, width: 50 })),
      500,
    );
    expect(crowd.filter((place) => place !== 'none').length).toBe(2);
  });
});

describe('lines', () => {
  const share: LineSpec = {
    column: 'failed_per_s',
    label: 'failed',
    colour: 'bad',
    share: true,
    quiet: true,
  };

  it('show errors as a share of the requests, and no line where there are none', () => {
    const grid = new TimeGrid(6, 1, 5);
    const failed = [0, 0, 2, 0, 0, null];
    failed.forEach((value, t) =>
      grid.put(t, (i) => (i === 0 ? (value === null ? null : 10) : i === 2 ? value : null)),
    );
    expect(valueAt(grid, share, 2)).toBe(0.2);
    const into: (number | null)[] = [];
    expect(drawnValues(grid, share, into)).toEqual([null, 0, 0.2, 0, null, null]);
    expect(drawnValues(grid, share, into)).toBe(into);
    expect(drawnValues(grid, { ...share, share: false, quiet: false }, into)).toBe(
      grid.column('failed_per_s'),
    );
  });

  it('fade a colour', () => {
    expect(faint('rgb(51, 85, 221)', 0.1)).toBe('rgba(51, 85, 221, 0.1)');
    expect(faint('color(srgb 0 0 0)', 0.1)).toBe('color(srgb 0 0 0)');
  });
});

describe('the sparkline', () => {
  it('leaves gaps open, and is hidden from who listens', () => {
    const path = sparkPath([1, 2, null, 3, null, null, 1, 1], 70, 26);
    expect(path.match(/M/g)).toHaveLength(3);
    const spark = new Spark();
    spark.update([null, null]);
    expect(spark.node.querySelector('path')?.getAttribute('d') ?? '').toBe('');
    spark.update([1, 2, 3]);
    expect(spark.node.querySelector('path')?.getAttribute('d')).toMatch(/^M0\.0 /);
    expect(spark.node.getAttribute('aria-hidden')).toBe('true');
  });
});

describe('the figures of a chart', () => {
  it('are a table and CSV; what was not measured is empty', () => {
    const grid = TimeGrid.of(golden().series, 3);
    const frame = {
      grid,
      from: grid.start,
      to: grid.end,
      marks: [],
      outages: [],
      limit: null,
      hidden: new Set<never>(),
    };
    const table = figuresTable(frame, grid.end, plain);
    expect(table.querySelectorAll('tbody tr')).toHaveLength(3);
    expect(table.querySelectorAll('tbody tr')[1]?.textContent).toContain('–');
    expect(table.querySelector('caption')?.textContent).not.toBe('');
    const lines = figuresCsv(frame).trim().split('\n');
    expect(lines[0]).toMatch(/^time,requests_per_s,/);
    expect(lines).toHaveLength(4);
    expect(lines[2]).toMatch(/Z,,,,/);
  });
});

describe('the feed', () => {
  const now = Math.floor(Date.now() / 1000);
  let feed: Feed | undefined;
  afterEach(() => {
    feed?.dispose();
    vi.useRealTimers();
  });

  function fed(seconds: number): { transport: HandTransport; feed: Feed; changed: ReturnType<typeof vi.fn> } {
    const transport = new HandTransport();
    const store = new LiveStore(transport, ['iris']);
    store.start();
    transport.open([golden().view.glance], now);
    const changed = vi.fn();
    feed = new Feed('iris', store, seconds, changed);
    feed.setSeconds(seconds);
    return { transport, feed, changed };
  }

  it('shows the past of a series and then the points as they come', async () => {
    const { transport, feed: one, changed } = fed(60);
    expect(transport.last('/series').path).toContain('seconds=60&points=60');
    transport.say({ point: point('iris', now, { requests_per_s: 7 }) }); // while the series is on its way
    transport
      .last('seconds=60')
      .resolve(series(now - 60, 1, 'requests_per_s', new Array<number>(60).fill(3)));
    await settle(1);
    transport.say({ point: point('iris', now + 1, { requests_per_s: 8 }) });
    expect(one.grid.column('requests_per_s').slice(-4)).toEqual([3, 3, 7, 8]);
    expect(changed).toHaveBeenCalled();
    transport.say({ point: point('churn', now + 2, { requests_per_s: 9 }) });
    expect(one.grid.end).toBe(now + 1);
  });

  it('reads the window again after the stream was lost: no gap stays', async () => {
    const { transport, feed: one } = fed(60);
    transport
      .last('seconds=60')
      .resolve(series(now - 60, 1, 'requests_per_s', new Array<number>(60).fill(3)));
    await settle(1);
    const before = transport.count('seconds=60&');
    transport.turn('lost');
    transport.open([golden().view.glance], now);
    expect(transport.count('seconds=60&')).toBe(before + 1);
    transport
      .last('seconds=60&')
      .resolve(series(now - 40, 1, 'requests_per_s', new Array<number>(60).fill(4)));
    await settle(1);
    expect(one.grid.column('requests_per_s')).not.toContain(null);
  });

  it('asks a long window for its end alone as time goes on', async () => {
    const { transport, feed: one } = fed(3600);
    const start = Math.floor(now / 6) * 6 - 3594;
    transport.last('seconds=3600').resolve(series(start, 6, 'p50_s', new Array<number>(600).fill(1)));
    await settle(1);
    vi.useFakeTimers();
    vi.setSystemTime(Date.now() + 7000); // since it was read, which was not when this file began
    one.tick();
    vi.useRealTimers();
    expect(transport.last('/series').path).toContain('seconds=24&points=4');
    transport.last('seconds=24').resolve(series(Math.floor(now / 6) * 6 - 12, 6, 'p50_s', [1, 1, 2, 3]));
    await settle(1);
    expect(
      one.grid
        .column('p50_s')
        .filter((value) => value !== null)
        .slice(-3),
    ).toEqual([1, 2, 3]);
    transport.say({ point: point('iris', now + 8, { p50_s: 9 }) }); // a second is no slot of this window
    expect(one.grid.column('p50_s')).not.toContain(9);
  });

  it('reads a zoom of a long window again, finer, and forgets it', async () => {
    const { transport, feed: one } = fed(3600);
    transport.last('seconds=3600').resolve(series(now - 3594, 6, 'p50_s', new Array<number>(600).fill(1)));
    await settle(1);
    one.zoom(now - 900, now - 600);
    const { path } = transport.last('until=');
    expect(path).toContain('seconds=300&points=300');
    transport.last('until=').resolve(series(now - 900, 1, 'p50_s', new Array<number>(300).fill(2)));
    await settle(1);
    expect(one.detail?.step).toBe(1);
    one.reset();
    expect([one.detail, one.zoomed]).toEqual([null, null]);
  });

  it('keeps what it has where the past cannot be read, and tries again', async () => {
    vi.useFakeTimers();
    const { transport, feed: one } = fed(60);
    transport.last('seconds=60').reject(new Error('no'));
    await vi.advanceTimersByTimeAsync(1);
    expect(one.error?.what).toBe('no');
    const before = transport.count('seconds=60&');
    await vi.advanceTimersByTimeAsync(4500);
    expect(transport.count('seconds=60&')).toBe(before + 1);
  });

  it('shows a saved series as it was, whatever the stream says', () => {
    const { transport, feed: one } = fed(60);
    one.freeze(golden().series);
    transport.say({ point: point('iris', now, { requests_per_s: 7 }) });
    one.tick();
    expect(one.grid.column('requests_per_s')).toEqual([212, null, 216.24]);
    one.thaw();
    expect(one.grid.count).toBe(60);
  });
});
