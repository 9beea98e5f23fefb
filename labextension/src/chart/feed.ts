// Where the charts' figures come from: a series for the past, points as they come, a finer series for a zoom.

import type { LiveStore } from '../api/store';
import { DeployError, type Disposable } from '../api/transport';
import { COLUMNS, type Series } from '../api/types';
import { pointsOf, TimeGrid } from './window';

/** A second is told of this much later: the window ends here, so that its end is not always empty. */
const LAG_S = 2;
const MOST_POINTS = 600;
const RETRY_MS = 4000;
/** Points come each second. Later than this, time goes on without them. */
const POINTS_MS = 1500;

export class Feed implements Disposable {
  grid: TimeGrid;
  /** What a zoom shows, where it is finer than the window. */
  detail: TimeGrid | null = null;
  /** The times that are shown where they are not the whole window. */
  zoomed: { from: number; to: number } | null = null;
  /** Why the past could not be read; null where it was. */
  error: DeployError | null = null;
  loaded = false;
  seconds: number;

  private round = 0;
  private stale = true;
  private frozen = false;
  private loading = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private tailMs = 0;
  private heardMs = 0;
  private readonly path: string;
  private readonly subscription: Disposable;

  /** `changed` is called after each change of what is to be shown. */
  constructor(
    private readonly name: string,
    private readonly store: LiveStore,
    seconds: number,
    private readonly changed: () => void,
  ) {
    this.seconds = seconds;
    this.path = `/deployments/${encodeURIComponent(name)}/series`;
    this.grid = this.fresh(1);
    this.subscription = store.subscribe((change) => {
      if (change.point?.name === name && this.grid.step === 1 && !this.frozen) {
        this.grid.put(change.point.t, store.reader(change.point));
        this.heardMs = Date.now();
        this.changed();
      }
      if (change.gone?.includes(name) === true || (change.state ?? 'open') !== 'open') this.stale = true;
      if (change.state === 'open' || change.glances?.includes(name) === true) this.refresh();
    });
  }

  dispose(): void {
    this.round += 1;
    clearTimeout(this.retry);
    this.subscription.dispose();
  }

  /** Show another window. */
  setSeconds(seconds: number): void {
    this.seconds = seconds;
    this.zoomed = this.detail = null;
    if (this.frozen) return;
    this.grid = this.fresh(Math.max(1, Math.round(seconds / pointsOf(seconds))));
    if (this.grid.step === 1) this.takeRing();
    void this.load();
    this.changed();
  }

  /** Show what was saved with the notebook, and nothing else until `thaw`. */
  freeze(series: Series): void {
    const count = series.values[0]?.length ?? 0;
    this.frozen = true;
    this.loaded = true;
    this.grid = TimeGrid.of(series, Math.max(2, count) * series.step_s);
    this.zoomed = this.detail = null;
    this.changed();
  }

  thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    this.setSeconds(this.seconds);
  }

  /** Show only a part; of a coarse window it is read again, finer. */
  zoom(from: number, to: number): void {
    const least = 4 * (this.detail ?? this.grid).step;
    const middle = (from + to) / 2;
    const half = Math.max(to - from, least) / 2;
    this.zoomed = { from: middle - half, to: middle + half };
    this.changed();
    if (this.grid.step > 1 && !this.frozen) void this.loadDetail(this.zoomed.from, this.zoomed.to);
  }

  reset(): void {
    this.zoomed = this.detail = null;
    this.changed();
  }

  /** Once a second while it is seen: time goes on where no points come, and coarse windows are asked for their end. */
  tick(): void {
    if (this.frozen) return;
    const { step } = this.grid;
    if (step === 1 && Date.now() - this.heardMs < POINTS_MS) return; // each point moves the time on: one picture a second
    const before = this.grid.revision;
    this.grid.advance(step === 1 ? Math.floor(this.store.now()) - LAG_S : this.store.now());
    if (step > 1 && this.loaded && Date.now() - this.tailMs >= Math.min(step, 30) * 1000)
      void this.loadTail();
    if (this.grid.revision !== before) this.changed();
  }

  /** Read the window again where points may have been missed; `unseen`: it was not followed for a while. */
  refresh(unseen = false): void {
    if (!this.frozen && !this.loading && (this.stale || unseen)) void this.load();
  }

  private fresh(step: number): TimeGrid {
    return new TimeGrid(this.seconds, step, this.store.now() - (step === 1 ? LAG_S : 0));
  }

  private takeRing(): void {
    const ring = this.store.points(this.name);
    for (let t = ring.last - ring.seconds + 1; t <= ring.last; t += 1)
      if (ring.has(t)) this.grid.put(t, (i) => ring.value(COLUMNS[i] ?? 'p50_s', t));
  }

  private async load(): Promise<void> {
    const round = (this.round += 1);
    const { seconds } = this;
    clearTimeout(this.retry);
    this.tailMs = Date.now();
    this.loading = true;
    try {
      const series = await this.ask(seconds, pointsOf(seconds));
      if (round !== this.round || this.frozen) return;
      this.stale = false;
      this.error = null;
      this.loaded = true;
      const grid = TimeGrid.of(series, seconds);
      // Points that came while the series was on its way.
      if (grid.step === 1 && this.grid.step === 1) copyNewer(this.grid, grid);
      this.grid = grid;
      this.tick();
      this.changed();
    } catch (thrown) {
      if (round !== this.round || this.frozen) return;
      this.error = DeployError.of(thrown);
      this.stale = true;
      this.retry = setTimeout(() => void this.load(), RETRY_MS);
      this.changed();
    } finally {
      if (round === this.round) this.loading = false;
    }
  }

  private async loadTail(): Promise<void> {
    const round = this.round;
    const { step } = this.grid;
    this.tailMs = Date.now();
    try {
      const series = await this.ask(4 * step, 4);
      if (round !== this.round || this.frozen) return;
      if (series.step_s !== step) void this.load();
      else {
        this.grid.load(series);
        this.changed();
      }
    } catch {
      this.stale = true; // the stream's state says what is wrong; the next round tries again
    }
  }

  private async loadDetail(from: number, to: number): Promise<void> {
    const round = this.round;
    const seconds = Math.ceil(to - from);
    try {
      const series = await this.ask(seconds, Math.min(MOST_POINTS, seconds), Math.ceil(to));
      if (round !== this.round || this.zoomed?.from !== from || series.step_s >= this.grid.step) return;
      this.detail = TimeGrid.of(series, Math.max(2, series.values[0]?.length ?? 0) * series.step_s);
      this.changed();
    } catch {
      // The coarse window shows the same time.
    }
  }

  private ask(seconds: number, points: number, until?: number): Promise<Series> {
    const end = until === undefined ? '' : `&until=${until}`;
    return this.store.transport.call<Series>('GET', `${this.path}?seconds=${seconds}&points=${points}${end}`);
  }
}

function copyNewer(from: TimeGrid, to: TimeGrid): void {
  const { end } = to;
  for (let i = 0; i < from.count; i += 1) {
    const t = from.times[i] ?? 0;
    if (t > end) to.put(t, (column) => from.column(COLUMNS[column] ?? 'p50_s')[i]);
  }
}
