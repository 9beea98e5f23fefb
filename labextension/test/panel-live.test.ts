import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  begin,
  button,
  choice,
  copied,
  drawing,
  find,
  key,
  live,
  make,
  off,
  panel,
  text,
  transport,
  view,
} from './bench';
import { golden, point, series, settle } from './stand';
import { jsonText } from '../src/panel/probe';
import { figuresOf } from '../src/panel/tiles';

beforeEach(begin);
afterEach(() => {
  panel.dispose();
  expect(document.querySelector('.adm-panel')).toBeNull();
});

describe('figures and charts', () => {
  it('are of the last ten seconds', async () => {
    await live();
    const now = Math.floor(Date.now() / 1000);
    for (let i = 9; i >= 0; i -= 1)
      transport.say({
        point: point('iris', now - 1 - i, {
          requests_per_s: i === 0 ? 100 : 10,
          failed_per_s: i === 0 ? 1.9 : 0,
          p50_s: i === 0 ? 0.004 : 0.002,
          p99_s: i === 0 ? 0.05 : 0.003,
          memory_bytes: 61e6,
          cpu_cores: 0.34,
          in_flight: i,
          waiting: 0,
        }),
      });
    await settle();
    const tiles = [...panel.node.querySelectorAll('.adm-tile')].map(
      (tile) => `${tile.children[0]?.textContent} ${tile.children[1]?.textContent}`,
    );
    expect(tiles).toEqual([
      'p50 4.0 ms',
      'p99 50.0 ms',
      'requests 19 /s',
      'errors 1.0 %',
      'F1, 412 labels 0.931',
      'memory 61 MB',
      'of one core 34 %',
      'disk free –',
      'in flight · queued 9 · 0',
    ]);
    expect(find('.adm-tile .adm-bad').textContent).toBe('1.0 %');
    const frame = drawing.frames.get('latency');
    expect(frame?.grid.end).toBe(now - 1);
    expect(frame?.limit?.seconds).toBe(0.05);
    expect(find('.adm-card-latency .adm-plot').getAttribute('aria-label')).toContain('Latency');
  });

  it('of nothing are no zeros', () => {
    const none = figuresOf(() => [null, null]);
    expect(Object.values(none).every((value) => value === null)).toBe(true);
    const idle = figuresOf((column) =>
      column === 'requests_per_s' ? [0, 0] : column === 'failed_per_s' ? [0, 0] : [null, null],
    );
    expect([idle.requests, idle.p99, idle.errors]).toEqual([0, null, null]);
  });

  it('share a crosshair and a zoom; the legend hides a line', async () => {
    await live();
    drawing.events.get('latency')?.hover(1763740700);
    expect([...drawing.hovers.values()].every((t) => t === 1763740700)).toBe(true);
    const now = Math.floor(Date.now() / 1000);
    drawing.events.get('cpu')?.zoom(now - 100, now - 50);
    await settle();
    for (const id of ['latency', 'requests', 'memory']) expect(drawing.frames.get(id)?.from).toBe(now - 100);
    button('Reset zoom').click();
    await settle();
    expect(drawing.frames.get('latency')?.from).toBeLessThan(now - 250);
    const toggle = find('.adm-card-latency .adm-key');
    toggle.click();
    await settle();
    expect(toggle.getAttribute('aria-pressed')).toBe('false');
    expect(drawing.frames.get('latency')?.hidden.has('p99_s')).toBe(true);
  });

  it('are read with the arrow keys', async () => {
    await live();
    const now = Math.floor(Date.now() / 1000);
    transport.say({ point: point('iris', now - 1, { p50_s: 0.0019, requests_per_s: 12 }) });
    await settle();
    key(find('.adm-card-latency .adm-plot'), 'ArrowLeft');
    expect(text('.adm-charts [aria-live=polite]')).toContain('p50 1.9 ms');
    expect(drawing.hovers.get('memory')).toBe(now - 1);
  });

  it('show another window, and tell who wants to keep it', async () => {
    const kept: number[] = [];
    await live({ onSeconds: (seconds) => kept.push(seconds) });
    const select = choice('.adm-toolbar select');
    expect([...select.options].map((option) => option.textContent)).toEqual([
      '1 min',
      '5 min',
      '15 min',
      '1 h',
      '6 h',
      '24 h',
    ]);
    select.value = '3600';
    select.dispatchEvent(new Event('change'));
    expect(kept).toEqual([3600]);
    expect(transport.last('/series').path).toContain('seconds=3600&points=600');
  });

  it('show no outage before the deployment was there', async () => {
    const now = Math.floor(Date.now() / 1000);
    const [first] = view.events;
    if (first === undefined) throw new Error('the golden file has no events');
    view.events = [{ ...first, kind: 'deployed', at_s: now - 60 }];
    transport.answer = (_, path) => {
      if (path.endsWith('/view')) return structuredClone(view);
      const alive = Array.from({ length: 300 }, (_one, i) => (i > 245 ? 6e7 : null));
      return path.includes('/series') ? series(now - 300, 1, 'memory_bytes', alive) : undefined;
    };
    await live();
    expect(drawing.frames.get('latency')?.outages).toMatchObject([{ from: now - 60, to: now - 54 }]);
  });

  it('have a table of figures and more charts, when they are unfolded', async () => {
    await live();
    button('More charts').click();
    button('Table of figures').click();
    await settle();
    expect(drawing.frames.has('network')).toBe(true);
    expect(drawing.frames.has('gpu')).toBe(false); // nothing was measured of one
    expect(panel.node.querySelectorAll('.adm-figures tbody tr')).toHaveLength(12);
    button('Copy as CSV').click();
    expect(copied[0]).toMatch(/^time,requests_per_s/);
  });
});

describe('what happened', () => {
  it('is listed newest first, and comes as it happens', async () => {
    await live();
    const event = {
      ...view.events[0],
      id: 99,
      at_s: Date.now() / 1000,
      kind: 'scaled',
      severity: 'warning',
      text: '1 → 2 workers',
    } as const;
    transport.say({ event: { ...event, name: 'iris', version: 4 } });
    transport.say({ event: { ...event, id: 100, name: 'churn', version: 4, text: 'of another' } });
    await settle();
    const items = [...panel.node.querySelectorAll('.adm-events li')].map((item) => item.textContent);
    expect(items).toHaveLength(2);
    expect(items[0]).toContain('scaled 1 → 2 workers');
    expect(items[1]).toContain('v4 swapped in v3 → v4');
    expect(find('.adm-events [role=img]').getAttribute('aria-label')).toBe('warning');
  });

  it('elsewhere is shown with its steps; what was done here is shown once', async () => {
    await live();
    const activity = golden().messages[5]?.activity;
    if (activity === undefined) throw new Error('the golden file has no activity');
    transport.say({ activity });
    await settle();
    expect(text('.adm-jobs')).toBe('rollback iris start…');
    button('Restart').click();
    await settle();
    expect(panel.node.querySelectorAll('.adm-job')).toHaveLength(1);
    transport.say({ activity: { ...activity, state: 'done' } });
    transport.say({
      activity: {
        ...activity,
        id: 'k',
        where: 'kernel',
        title: 'deploy iris',
        steps: [{ step: 'capture', state: 'done', seconds: 0.03, detail: '' }],
      },
    });
    await settle();
    expect(text('.adm-jobs')).toContain(
      'deploy iris✓ capture 30.0 ms○ export○ verify○ package○ start○ first prediction',
    );
  });
});

describe('a job that fails', () => {
  it('elsewhere is told here; one that failed here is told once', async () => {
    await live();
    const activity = golden().messages[5]?.activity;
    if (activity === undefined) throw new Error('the golden file has no activity');
    transport.say({ activity: { ...activity, state: 'failed', error: 'version 3 did not start' } });
    await settle();
    expect(text('.adm-notices')).toContain('rollback iris failed');
    expect(text('.adm-notices')).toContain('version 3 did not start');
    button('Restart').click();
    transport.say({
      activity: { ...activity, id: 'r', title: 'restart iris', state: 'failed', error: 'no' },
    });
    transport.last('/restart').reject(new Error('no'));
    await settle();
    expect(text('.adm-notices')).not.toContain('restart iris failed');
  });
});

describe('the connection', () => {
  it('that is lost keeps the last figures, visibly old, and comes back', async () => {
    await live();
    const now = Math.floor(Date.now() / 1000);
    transport.say({ point: point('iris', now - 1, { requests_per_s: 12 }) });
    await settle();
    transport.turn('lost');
    await settle(1700);
    expect(text('.adm-banner')).toContain('Connection lost. The figures are of');
    expect(panel.node.classList.contains('adm-stale')).toBe(true);
    expect(text('.adm-tiles')).toContain('12 /s');
    expect(text('.adm-state')).toBe('last seen running');
    expect(off('Stop')).toBe(true);
    expect(off('Code')).toBe(false);
    transport.open([structuredClone(view.glance)]);
    await settle();
    expect(find('.adm-banner').hidden).toBe(true);
    expect(panel.node.classList.contains('adm-stale')).toBe(false);
    expect(off('Stop')).toBe(false);
  });

  it('that is lost for a moment is not worth a word', async () => {
    await live();
    transport.turn('lost');
    transport.turn('connecting');
    await settle(200);
    expect(find('.adm-banner').hidden).toBe(true);
  });

  it('says whether the supervisor is away or the deployment gone', async () => {
    await live();
    transport.say({ glances: [] });
    await settle();
    expect(text('.adm-banner')).toContain('No supervisor runs');
    transport.open([structuredClone(view.glance)]);
    transport.say({ gone: ['iris'] });
    await settle();
    expect(text('.adm-banner')).toContain('There is no deployment iris any more');
  });

  it('where there is none shows what was saved, and says so', async () => {
    make({ history: golden().series, view: golden().view });
    transport.turn('lost');
    await settle();
    expect(text('.adm-banner')).toContain('A saved state, as of 2025-11-2');
    expect(text('.adm-state')).toBe('last seen running');
    expect(drawing.frames.get('requests')?.grid.column('requests_per_s')).toEqual([212, null, 216.24]);
    expect(text('.adm-tiles')).toContain('214 /s');
    expect(off('Restart')).toBe(true);
    transport.open([structuredClone(view.glance)]);
    await settle();
    expect(find('.adm-banner').hidden).toBe(true);
    expect(drawing.frames.get('requests')?.grid.count).toBe(300);
  });

  it('where there is none and nothing was saved says so and shows nothing else', async () => {
    make();
    transport.turn('lost');
    await settle();
    expect(text('.adm-banner')).toContain('Nothing answers');
    expect(panel.node.classList.contains('adm-blank')).toBe(true);
  });
});

describe('the end', () => {
  it('leaves nothing behind', async () => {
    const before = vi.spyOn(globalThis, 'setInterval');
    const after = vi.spyOn(globalThis, 'clearInterval');
    await live();
    button('Logs').click();
    panel.dispose();
    expect(after.mock.calls.length).toBeGreaterThanOrEqual(before.mock.calls.length);
    expect(transport.watchers.size).toBe(0);
    expect(drawing.disposed).toBe(drawing.frames.size);
    transport.last('/logs').resolve('late');
    await settle();
    before.mockRestore();
    after.mockRestore();
    make();
  });

  it('every text can be translated', async () => {
    const seen = new Set<string>();
    await live({
      trans: (one) => {
        seen.add(one);
        return `«${one}»`;
      },
    });
    for (const word of [
      'Test',
      'Stop',
      'Re-tune',
      'Logs',
      'Latency',
      'Events',
      'Versions',
      'running',
      'Copy',
      'Open',
    ])
      expect(seen).toContain(word);
    expect(panel.node.textContent).toContain('«Re-tune»');
  });
});

describe('JSON', () => {
  it('stands on one line where it is short', () => {
    expect(jsonText({ a: [1, 2], b: null })).toBe('{ "a": [1, 2], "b": null }');
    expect(
      jsonText({
        inputs: [
          [5.1, 3.5, 1.4, 0.2],
          [5.1, 3.5, 1.4, 0.2],
          [1, 2, 3, 4],
        ],
      }),
    ).toBe(
      '{\n  "inputs": [\n    [5.1, 3.5, 1.4, 0.2],\n    [5.1, 3.5, 1.4, 0.2],\n    [1, 2, 3, 4]\n  ]\n}',
    );
  });
});

it('a saved series of another step is read too', async () => {
  make({ history: series(1000, 10, 'memory_bytes', [1, null, 3]), view });
  transport.turn('lost');
  await settle();
  expect(drawing.frames.get('memory')?.grid.column('memory_bytes')).toEqual([1, null, 3]);
});
