// What the panel knows and does: the deployment's view, the state of the connection, and the one change under way.

import type { LiveStore } from '../api/store';
import { DeployError, type Disposable, type Method, type Trans } from '../api/transport';
import type { Glance, LiveEvent, Progress, Series, View } from '../api/types';
import { HealthWatch } from './health';
import { isRetuneJob, Retunes } from './retuning';

/** How the panel stands to its deployment. */
export type Link =
  | 'connecting'
  | 'live'
  /** The stream is lost: what is shown is of `asOfMs`. */
  | 'lost'
  /** No supervisor runs. */
  | 'away'
  /** There is no deployment of that name any more. */
  | 'gone'
  /** Nothing answers, and the notebook's own copy is shown. */
  | 'saved';

/** The changes of which one at a time may be under way. */
export type Kind =
  | 'start'
  | 'stop'
  | 'restart'
  | 'scale'
  | 'tune'
  | 'retune'
  | 'rollback'
  | 'promote'
  | 'containerize'
  | 'ship'
  | 'drill'
  | 'incident';

export interface Pending {
  kind: Kind;
  title: string;
  startedS: number;
  steps: Map<string, Progress>;
}

export interface Notice {
  id: number;
  tone: 'ok' | 'bad';
  what: string;
  why: string;
  fix: string;
  /** Something to copy: the name of an image. */
  code: string;
  /** It stays until it is dismissed. */
  keep: boolean;
}

export interface Saved {
  history: Series | null;
  view: View | null;
}

const OUTCOME_MS = 8000;
const ECHO_MS = 2000;
const VIEW_WAIT_MS = 250;
/** A stream that does not open within this is taken for unreachable, where there is a saved state to show. */
const PATIENCE_MS = 4000;
/** A stream that is lost for a moment is not worth a word. */
const GRACE_MS = 1500;

export class Model implements Disposable {
  view: View | null;
  link: Link = 'connecting';
  pending: Pending | null = null;
  notices: Notice[] = [];
  /** When the figures on the screen were true, in milliseconds since the epoch; 0: never. */
  asOfMs = 0;
  readonly health: HealthWatch;
  readonly retunes: Retunes;

  private glanceSeen: Glance | null = null;
  private wasLive = false;
  private readonly listeners = new Set<() => void>();
  private readonly subscription: Disposable;
  private timers = new Set<ReturnType<typeof setTimeout>>();
  private reading: ReturnType<typeof setTimeout> | undefined;
  private lostMs = 0;
  private endedMs = 0;
  /** Small changes made here that are under way. */
  private own = 0;
  private readonly sinceMs = Date.now();
  private count = 0;
  private disposed = false;

  constructor(
    readonly name: string,
    readonly store: LiveStore,
    readonly trans: Trans,
    public saved: Saved,
  ) {
    this.view = saved.view;
    this.health = new HealthWatch(
      name,
      store,
      (method, what, body) => this.call(method, what, body),
      () => this.changed(),
    );
    this.retunes = new Retunes(
      name,
      (what) => this.call('GET', what),
      () => this.changed(),
    );
    this.retunes.takeAll(saved.view?.retunes ?? []);
    this.subscription = store.subscribe((change) => {
      this.retunes.hear(change);
      const mine = (names: string[] | undefined): boolean => names?.includes(name) ?? false;
      if (mine(change.glances) || change.event?.name === name) this.readSoon();
      if (change.activity?.name === name && change.activity.state === 'failed' && !this.acting) {
        const { title, error } = change.activity;
        if (!isRetuneJob(title)) this.notify({ tone: 'bad', what: trans('%1 failed', title), why: error });
      }
      if (change.activity?.name === name && change.activity.state === 'cancelled' && !this.acting)
        this.notify({ what: trans('%1 was cancelled', change.activity.title) });
      if (
        change.state !== undefined ||
        change.activities === true ||
        mine(change.glances) ||
        mine(change.gone) ||
        change.glances?.length === 0 ||
        change.event?.name === name ||
        change.activity?.name === name
      )
        this.look();
    });
    this.store.start();
    this.after(PATIENCE_MS, () => this.look());
    this.look();
  }

  get glance(): Glance | null {
    return this.store.glances.get(this.name) ?? this.glanceSeen ?? this.view?.glance ?? null;
  }

  /** Whether the deployment can be told to do something. */
  get able(): boolean {
    return this.link === 'live' && this.pending === null;
  }

  /** Whether a change made here is under way, or ended just now: the stream tells of it too. */
  private get acting(): boolean {
    return this.pending !== null || this.own > 0 || Date.now() - this.endedMs < ECHO_MS;
  }

  /** What happened, oldest first. */
  get events(): LiveEvent[] {
    const events = new Map<number, LiveEvent>();
    for (const event of this.view?.events ?? []) events.set(event.id, event);
    for (const event of this.store.events(this.name)) events.set(event.id, event);
    return [...events.values()].sort((a, b) => a.at_s - b.at_s || a.id - b.id);
  }

  /** Since when the deployment is known to have been there, in seconds since the epoch. */
  get since(): number {
    const built = (this.view?.versions ?? []).map((version) => Date.parse(version.created_at) / 1000);
    const oldest = Math.min(Infinity, ...built.filter((time) => !Number.isNaN(time)));
    const deployed = this.events.find((event) => event.kind === 'deployed');
    return Math.max(oldest, deployed?.at_s ?? oldest);
  }

  subscribe(listener: () => void): Disposable {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  /** One call about the deployment; `what` is the rest of its path. */
  call<T>(method: Method, what: string, body?: unknown, onProgress?: (step: Progress) => void): Promise<T> {
    const path = `/deployments/${encodeURIComponent(this.name)}${what}`;
    return this.store.transport.call<T>(method, path, body, onProgress);
  }

  /** A small change, of which its caller tells how it ended. */
  async change<T>(what: string, body: unknown): Promise<T> {
    this.own += 1;
    try {
      return await this.call<T>('POST', what, body);
    } finally {
      this.own -= 1;
      this.endedMs = Date.now();
    }
  }

  /**
   * Perform a change, show its steps, and tell how it ended; null where it failed, or another is under way.
   *
   * `done` says what it did, from its result; `what` is the rest of the call's path; `failed` tells why it did not.
   */
  async act<T>(
    kind: Kind,
    title: string,
    body: unknown,
    done: (result: T) => string | Partial<Notice>,
    what = `/${kind}`,
    failed = (thrown: unknown): void => this.fail(thrown),
  ): Promise<T | null> {
    if (!this.able) return null;
    const pending: Pending = { kind, title, startedS: this.store.now(), steps: new Map() };
    this.pending = pending;
    this.changed();
    try {
      const result = await this.call<T>('POST', what, body, (step) => {
        pending.steps.set(step.step, step);
        this.changed();
      });
      await this.read(); // what is told as done is what the panel shows
      this.end();
      const told = done(result);
      this.notify({ tone: 'ok', ...(typeof told === 'string' ? { what: told } : told) });
      return result;
    } catch (thrown) {
      this.end();
      failed(thrown);
      this.readSoon(0);
      return null;
    }
  }

  private end(): void {
    this.pending = null;
    this.endedMs = Date.now();
  }

  fail(thrown: unknown): void {
    const { error, what, why, fix } = DeployError.of(thrown);
    this.notify({ tone: error === 'ShipCancelled' ? 'ok' : 'bad', what, why, fix });
  }

  notify(told: Partial<Notice>): void {
    this.count += 1;
    const notice: Notice = {
      id: this.count,
      tone: 'ok',
      what: '',
      why: '',
      fix: '',
      code: '',
      keep: false,
      ...told,
    };
    const same = (other: Notice): boolean => other.what === notice.what && other.tone === notice.tone;
    this.notices = [
      ...this.notices.filter((other) => (other.tone === 'bad' || other.keep) && !same(other)),
      notice,
    ].slice(-3);
    if (notice.tone === 'ok' && notice.code === '' && !notice.keep)
      this.after(OUTCOME_MS, () => this.dismiss(notice.id));
    this.changed();
  }

  dismiss(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
    this.changed();
  }

  /** Take another saved state: the kernel may send it after the panel is there. */
  keep(saved: Saved): void {
    this.saved = saved;
    this.view ??= saved.view;
    this.retunes.takeAll(saved.view?.retunes ?? []);
    this.look();
  }

  /** Try to reach the deployment once more. */
  retry(): void {
    this.store.stop();
    this.store.start();
    this.readSoon(0);
    this.health.readSoon(0);
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.reading);
    for (const timer of this.timers) clearTimeout(timer);
    this.health.dispose();
    this.subscription.dispose();
    this.store.stop();
    this.listeners.clear();
  }

  private look(): void {
    const link = this.linkNow();
    if (link === 'live') {
      this.wasLive = true;
      this.glanceSeen = this.store.glances.get(this.name) ?? null;
      if (this.link !== 'live') this.readSoon(0);
    }
    this.link = link;
    this.changed();
  }

  private linkNow(): Link {
    const { store } = this;
    if (store.state === 'open') {
      this.lostMs = 0;
      if (!store.complete) return this.link === 'live' ? 'live' : 'connecting';
      if (store.glances.has(this.name)) return 'live';
      return store.away ? 'away' : 'gone';
    }
    if (this.wasLive) {
      if (this.lostMs === 0) {
        this.lostMs = Date.now();
        this.asOfMs = store.heardMs;
        this.after(GRACE_MS, () => this.look());
      }
      const brief = Date.now() - this.lostMs < GRACE_MS - 50;
      return brief && this.link === 'live' ? 'live' : 'lost';
    }
    const waited = Date.now() - this.sinceMs > PATIENCE_MS - 50 || store.state === 'lost';
    if (!waited) return 'connecting';
    return this.saved.history !== null || this.saved.view !== null ? 'saved' : 'lost';
  }

  private readSoon(waitMs = VIEW_WAIT_MS): void {
    clearTimeout(this.reading);
    if (!this.disposed) this.reading = setTimeout(() => void this.read(), waitMs);
  }

  private async read(): Promise<void> {
    try {
      const view = await this.call<View>('GET', '/view');
      if (this.disposed) return;
      this.view = view;
      this.retunes.takeAll(view.retunes ?? []);
      this.changed();
    } catch (thrown) {
      if (this.disposed || this.link !== 'live') return; // the link's own state says what is wrong
      this.fail(thrown);
    }
  }

  private after(ms: number, call: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      if (!this.disposed) call();
    }, ms);
    this.timers.add(timer);
  }

  private changed(): void {
    if (this.disposed) return;
    for (const listener of [...this.listeners]) listener();
  }
}
