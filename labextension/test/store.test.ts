import { describe, expect, it } from 'vitest';
import { Ring } from '../src/api/ring';
import { LiveStore, type Change } from '../src/api/store';
import { COLUMNS, type Message } from '../src/api/types';
import { golden, HandTransport, point, series, settle } from './stand';

function watched(names?: string[]): { transport: HandTransport; store: LiveStore; changes: Change[] } {
  const transport = new HandTransport();
  const store = new LiveStore(transport, names);
  const changes: Change[] = [];
  store.subscribe((change) => changes.push(change));
  store.start();
  return { transport, store, changes };
}

describe('the golden stream', () => {
  it('is read by every field', () => {
    const { transport, store, changes } = watched();
    transport.turn('open');
    const { messages } = golden();
    expect(messages[0]?.hello?.columns).toEqual([...COLUMNS]);
    store.points('iris');
    for (const message of messages) transport.say(message);
    expect([...store.glances.keys()]).toEqual(['iris', 'churn']); // titanic is gone
    expect(store.glances.get('iris')?.status.workers).toHaveLength(2);
    expect(store.jobs('iris')[0]).toMatchObject({ id: 'b3', title: 'rollback iris', state: 'running' });
    expect(store.events('churn')[0]).toMatchObject({ kind: 'worker_died', severity: 'warning' });
    expect(store.points('iris').value('p99_s', 1763740800)).toBe(0.0034);
    expect(store.points('iris').value('gpu_share', 1763740800)).toBeNull();
    expect(store.release).toBe('0.1.0');
    expect(Math.abs(store.now() - 1763740800)).toBeLessThan(5);
    const told = changes.map((change) => Object.keys(change)[0]);
    expect(told).toEqual(['state', 'glances', 'activities', 'point', 'event', 'activity', 'retune', 'gone']);
  });
});

describe('merging', () => {
  it('a point of a known second replaces the earlier one', () => {
    const { transport, store } = watched();
    transport.open([golden().view.glance]);
    const ring = store.points('iris');
    transport.say({ point: point('iris', 1000, { requests_per_s: 3, p99_s: 0.1 }) });
    transport.say({ point: point('iris', 1001, { requests_per_s: 4 }) });
    transport.say({ point: point('iris', 1000, { requests_per_s: 5 }) });
    expect(ring.recent('requests_per_s', 3)).toEqual([null, 5, 4]);
    expect(ring.value('p99_s', 1000)).toBeNull();
  });

  it('reads columns by their names: a newer release may tell others, in another order', () => {
    const { transport, store } = watched();
    transport.turn('open');
    const ring = store.points('iris');
    transport.say({
      hello: { now_s: 1000, release: '9', columns: ['new_thing', 'p99_s', 'requests_per_s'] },
    });
    transport.say({ point: { name: 'iris', t: 1000, v: [7, 0.5, 12] } });
    expect(ring.value('requests_per_s', 1000)).toBe(12);
    expect(ring.value('p99_s', 1000)).toBe(0.5);
    expect(ring.value('memory_bytes', 1000)).toBeNull();
  });

  it('changes the glances it is told of, and after a new hello has only those', () => {
    const { transport, store, changes } = watched();
    const [, { glances = [] }] = golden().messages as [Message, Message];
    transport.open(glances);
    const first = glances[0];
    if (first === undefined) throw new Error('the golden file has no glances');
    transport.say({ glances: [{ ...first, status: { ...first.status, state: 'failed' } }] });
    expect(store.glances.size).toBe(3);
    expect(store.glances.get('iris')?.status.state).toBe('failed');
    transport.open([first]);
    expect([...store.glances.keys()]).toEqual(['iris']);
    expect(changes.some((change) => change.gone?.includes('churn'))).toBe(true);
  });

  it('knows a supervisor that is away from deployments that are gone', () => {
    const { transport, store } = watched();
    transport.open([golden().view.glance]);
    store.points('iris').put(5, () => 1);
    transport.say({ glances: [] });
    expect([store.away, store.glances.size]).toEqual([true, 0]);
    expect(store.points('iris').has(5)).toBe(true);
    transport.open([]);
    expect([store.away, store.complete]).toEqual([false, true]);
  });

  it('keeps jobs that ended for a while, and no endless list of them', () => {
    const { transport, store } = watched();
    transport.open([golden().view.glance]);
    const job = golden().messages[5]?.activity;
    if (job === undefined) throw new Error('the golden file has no activity');
    for (let i = 0; i < 100; i += 1) transport.say({ activity: { ...job, id: `j${i}`, state: 'done' } });
    expect(store.activities.size).toBeLessThanOrEqual(20);
    expect(store.activities.has('j99')).toBe(true);
  });
});

describe('a stream that was lost', () => {
  it('leaves no gap: the minutes that were missed are read again', async () => {
    const { transport, store, changes } = watched();
    const now = Math.floor(Date.now() / 1000);
    transport.open([golden().view.glance], now);
    const ring = store.points('iris');
    transport.last('/series').resolve(series(now - 4, 1, 'requests_per_s', [1, 2, 3, 4]));
    await settle(1);
    expect(ring.recent('requests_per_s', 4, now - 1)).toEqual([1, 2, 3, 4]);
    transport.turn('lost');
    transport.open([golden().view.glance], now);
    transport.say({ point: point('iris', now + 8, { requests_per_s: 9 }) });
    const missed = series(now, 1, 'requests_per_s', [5, 5, 5, 5, 5, 6, 7, 8, 8.5]);
    transport.last('/series').resolve(missed);
    await settle(1);
    expect(ring.recent('requests_per_s', 9, now + 8)).toEqual([5, 5, 5, 5, 5, 6, 7, 8, 9]);
    expect(changes.some((change) => change.refilled === 'iris')).toBe(true);
  });

  it('asks for one deployment after the other, and only for those that are looked at', async () => {
    const { transport, store } = watched();
    transport.open([golden().view.glance]);
    for (const name of ['a', 'b', 'c']) store.points(name);
    expect(transport.count('/series')).toBe(1);
    transport.last('/a/series').reject(new Error('no'));
    await settle(1);
    transport.last('/b/series').resolve(series(0, 1, 'p50_s', []));
    await settle(1);
    expect(transport.count('/series')).toBe(3);
  });
});

describe('start and stop', () => {
  it('share one stream, which ends with the last user', () => {
    const { transport, store } = watched(['iris']);
    store.start();
    expect(transport.watchers.size).toBe(1);
    store.stop();
    expect(transport.watchers.size).toBe(1);
    store.stop();
    expect(transport.watchers.size).toBe(0);
  });
});

describe('the ring', () => {
  it('holds the last seconds and forgets older ones, in place', () => {
    const ring = new Ring(10);
    for (let t = 100; t < 200; t += 1) ring.put(t, () => t);
    expect(ring.value('p50_s', 189)).toBeNull();
    expect(ring.value('p50_s', 190)).toBe(190);
    ring.put(150, () => 1); // far too late: the place is taken
    expect(ring.value('p50_s', 190)).toBe(190);
    expect(ring.last).toBe(199);
  });
});
