// A window of time as slots of equal length, in arrays that are made once and shifted in place.

import { COLUMNS, type Column, type Series } from '../api/types';

/** What the reader can choose, and in how many points each is asked for. */
export const WINDOWS: readonly { seconds: number; points: number }[] = [
  { seconds: 60, points: 60 },
  { seconds: 300, points: 300 },
  { seconds: 900, points: 900 },
  { seconds: 3600, points: 600 },
  { seconds: 21_600, points: 360 },
  { seconds: 86_400, points: 480 },
];

/** How many points a window of any length is asked for. */
export function pointsOf(seconds: number): number {
  return WINDOWS.find((choice) => choice.seconds === seconds)?.points ?? Math.max(1, Math.min(600, seconds));
}

export type Values = (number | null)[];

export class TimeGrid {
  /** Slot i covers `step` seconds from `times[i]`. */
  readonly times: Float64Array;
  /** Raised with every change of a value. */
  revision = 0;
  private readonly columns: Map<Column, Values>;

  constructor(
    readonly seconds: number,
    readonly step: number,
    end: number,
  ) {
    const count = Math.max(2, Math.round(seconds / step));
    this.times = new Float64Array(count);
    this.columns = new Map(COLUMNS.map((column) => [column, new Array<number | null>(count).fill(null)]));
    const last = Math.floor(end / step) * step;
    for (let i = 0; i < count; i += 1) this.times[i] = last - (count - 1 - i) * step;
  }

  /** The window that a series tells of; it ends where the series does. */
  static of(series: Series, seconds: number): TimeGrid {
    const count = series.values[0]?.length ?? 0;
    const end = series.start_s + Math.max(0, count - 1) * series.step_s;
    const grid = new TimeGrid(seconds, Math.max(series.step_s, 1e-3), end);
    grid.load(series);
    return grid;
  }

  get count(): number {
    return this.times.length;
  }

  /** The start of the first slot. */
  get start(): number {
    return this.times[0] ?? 0;
  }

  /** The start of the last slot. */
  get end(): number {
    return this.times[this.times.length - 1] ?? 0;
  }

  column(column: Column): Values {
    return this.columns.get(column) ?? [];
  }

  /** Whether anything was measured of a column. */
  has(column: Column): boolean {
    return this.column(column).some((value) => value !== null);
  }

  /** Move on, so that the last slot covers `t`; the new slots are empty. */
  advance(t: number): void {
    const by = Math.floor((t - this.end) / this.step);
    if (by <= 0) return;
    const count = this.count;
    const kept = Math.max(0, count - by);
    for (let i = 0; i < count; i += 1) this.times[i] = (this.times[i] ?? 0) + by * this.step;
    for (const values of this.columns.values()) {
      if (kept > 0) values.copyWithin(0, by);
      values.fill(null, kept);
    }
    this.revision += 1;
  }

  /** Take the values of the slot that covers `t`; `at(i)` is that of column i. One outside the window is dropped. */
  put(t: number, at: (column: number) => number | null | undefined): void {
    this.advance(t);
    const slot = Math.floor((t - this.start) / this.step);
    if (slot < 0) return;
    let i = 0;
    for (const values of this.columns.values()) {
      values[slot] = at(i) ?? null;
      i += 1;
    }
    this.revision += 1;
  }

  /** Take a series, or the part of it that is in the window. */
  load(series: Series): void {
    const places = COLUMNS.map((column) => series.columns.indexOf(column));
    const count = series.values[0]?.length ?? 0;
    for (let i = 0; i < count; i += 1)
      this.put(series.start_s + i * series.step_s, (column) => series.values[places[column] ?? -1]?.[i]);
  }

  /** The slot that covers `t`; null outside the window. */
  slot(t: number): number | null {
    const slot = Math.floor((t - this.start) / this.step + 1e-6);
    return slot >= 0 && slot < this.count ? slot : null;
  }
}
