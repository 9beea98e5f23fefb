// The last points of one deployment, in a block of memory that never grows.

import { COLUMNS, type Column, type Series } from './types';

const NOTHING = Number.NaN;

export class Ring {
  /** The latest second there is a point of; 0 for none. */
  last = 0;
  private readonly times: Float64Array;
  private readonly values: Float64Array;

  constructor(readonly seconds: number) {
    this.times = new Float64Array(seconds);
    this.values = new Float64Array(seconds * COLUMNS.length).fill(NOTHING);
  }

  /** Take a point; one of a second that is known already replaces it. `at(i)` is the value of column i. */
  put(t: number, at: (column: number) => number | null | undefined): void {
    const slot = this.slot(t);
    if ((this.times[slot] ?? 0) > t) return; // older than what the ring holds
    this.times[slot] = t;
    for (let i = 0; i < COLUMNS.length; i += 1) this.values[slot * COLUMNS.length + i] = at(i) ?? NOTHING;
    if (t > this.last) this.last = t;
  }

  has(t: number): boolean {
    return this.times[this.slot(t)] === t;
  }

  /** A column's value in the second `t`; null where it was not measured. */
  value(column: Column, t: number): number | null {
    const slot = this.slot(t);
    if (this.times[slot] !== t) return null;
    const value = this.values[slot * COLUMNS.length + COLUMNS.indexOf(column)] ?? NOTHING;
    return Number.isNaN(value) ? null : value;
  }

  /** A column over the `seconds` up to and with `end`, oldest first; null where nothing was measured. */
  recent(column: Column, seconds: number, end = this.last): (number | null)[] {
    const values: (number | null)[] = [];
    for (let t = end - seconds + 1; t <= end; t += 1) values.push(this.value(column, t));
    return values;
  }

  /** Take what a series of whole seconds tells; points from `kept` on stay as they are, where there are any. */
  fill(series: Series, kept: number): void {
    if (series.step_s !== 1) return;
    const places = COLUMNS.map((column) => series.columns.indexOf(column));
    const count = series.values[0]?.length ?? 0;
    for (let i = 0; i < count; i += 1) {
      const t = Math.round(series.start_s) + i;
      if (t >= kept && this.has(t)) continue;
      this.put(t, (column) => series.values[places[column] ?? -1]?.[i]);
    }
  }

  private slot(t: number): number {
    return ((t % this.seconds) + this.seconds) % this.seconds;
  }
}
