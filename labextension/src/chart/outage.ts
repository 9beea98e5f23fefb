// Times of which nothing was measured: down, stopped, or not looked at. They are shown as what they are, never as zero.

import type { Trans } from '../api/transport';
import type { LiveEvent, State } from '../api/types';
import type { TimeGrid } from './window';

export interface Outage {
  /** In seconds since the epoch. */
  from: number;
  to: number;
  what: 'down' | 'stopped' | 'unknown';
}

/** What an outage is called. */
export function outageText(what: Outage['what'], trans: Trans): string {
  return { down: trans('down'), stopped: trans('stopped'), unknown: trans('not measured') }[what];
}

/** A second may take this long until it is told of. */
const LATE_S = 4;
const SHORTEST_S = 2;

const ALIVE = new Set(['deployed', 'swapped', 'rolled_back', 'restarted', 'started', 'scaled', 'tuned']);

/**
 * The times within the window in which no process was seen and nothing was answered.
 *
 * `since` is when the deployment is known to have been there; what lies before is no outage. `events` are oldest first.
 */
export function outages(
  grid: TimeGrid,
  nowS: number,
  since: number,
  state: State | null,
  events: readonly LiveEvent[],
): Outage[] {
  const found: Outage[] = [];
  const memory = grid.column('memory_bytes');
  const cpu = grid.column('cpu_cores');
  const requests = grid.column('requests_per_s');
  const known = nowS - Math.max(LATE_S, grid.step);
  let first = -1;
  let seen = false;
  for (let i = 0; i <= grid.count; i += 1) {
    const t = grid.times[i] ?? grid.end + grid.step;
    const here = i < grid.count;
    const idle = memory[i] === null && cpu[i] === null && requests[i] === null;
    const silent = here && idle && t <= known;
    if (silent && first < 0 && (seen || t >= since)) first = i;
    if (here && !idle) seen = true;
    if (silent || first < 0) continue;
    const from = grid.times[first] ?? 0;
    const to = Math.min(t, nowS);
    if (to - from >= SHORTEST_S)
      found.push({ from, to, what: reason(from, to, grid.step, known, state, events) });
    first = -1;
  }
  return found;
}

function reason(
  from: number,
  to: number,
  step: number,
  known: number,
  state: State | null,
  events: readonly LiveEvent[],
): Outage['what'] {
  let what: Outage['what'] = 'unknown';
  for (const event of events) {
    if (event.at_s > from + step + LATE_S) break;
    if (event.kind === 'stopped') what = 'stopped';
    else if (event.kind === 'worker_died' || event.kind === 'failed') what = 'down';
    else if (ALIVE.has(event.kind) && event.at_s < from - LATE_S) what = 'unknown';
  }
  if (what !== 'unknown' || to < known) return what;
  if (state === 'stopped') return 'stopped';
  return state === 'failed' || state === 'degraded' || state === 'starting' ? 'down' : 'unknown';
}
