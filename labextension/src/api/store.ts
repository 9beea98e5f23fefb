// What a page knows of the deployments, kept up to date by the live stream: one for everything the page shows.

import { Ring } from './ring';
import type { Retune } from './retunes';
import type { Disposable, LinkState, Transport } from './transport';
import {
  COLUMNS,
  type Activity,
  type Glance,
  type LiveEvent,
  type Message,
  type Point,
  type Series,
} from './types';

/** How long points are kept for sparklines and tiles. */
const KEPT_S = 180;
const EVENTS = 200;
/** A point may be corrected this long after its second. */
const LATE_S = 3;

/** What has changed; the fields are those of the message that changed it. */
export interface Change {
  state?: LinkState;
  glances?: string[];
  gone?: string[];
  point?: Point;
  event?: LiveEvent;
  activity?: Activity;
  activities?: true;
  retune?: Retune;
  /** The points of this deployment were read anew. */
  refilled?: string;
}

export type Listener = (change: Change) => void;

export class LiveStore {
  readonly glances = new Map<string, Glance>();
  /** Jobs under way, and those that ended while the page watched, by id. */
  readonly activities = new Map<string, Activity>();
  state: LinkState = 'connecting';
  /** Whether the stream has told which deployments there are. */
  complete = false;
  /** Whether no supervisor runs: what was deployed may serve on, and nobody looks after it. */
  away = false;
  /** When the stream said something last, in milliseconds since the epoch; 0: never. */
  heardMs = 0;
  release = '';

  private readonly listeners = new Set<Listener>();
  private readonly rings = new Map<string, Ring>();
  private readonly happened = new Map<string, LiveEvent[]>();
  private readonly toFill = new Set<string>();
  private filling = false;
  private first = false;
  private aheadS = 0;
  private places: number[] = COLUMNS.map((_, i) => i);
  private stream: Disposable | null = null;
  private users = 0;

  /** `names`: watch these alone. */
  constructor(
    readonly transport: Transport,
    private readonly names?: string[],
  ) {}

  /** Begin to watch. Each `start` wants its `stop`; the last one ends the stream. */
  start(): void {
    this.users += 1;
    if (this.users > 1) return;
    this.stream = this.transport.watch(
      (message) => this.take(message),
      (state) => this.link(state),
      this.names,
    );
  }

  stop(): void {
    this.users = Math.max(0, this.users - 1);
    if (this.users > 0) return;
    this.stream?.dispose();
    this.stream = null;
  }

  subscribe(listener: Listener): Disposable {
    this.listeners.add(listener);
    return { dispose: () => this.listeners.delete(listener) };
  }

  /** The supervisor's clock, in seconds since the epoch. */
  now(): number {
    return Date.now() / 1000 + this.aheadS;
  }

  /** The last minutes of a deployment; the first to ask has them read from the supervisor. */
  points(name: string): Ring {
    let ring = this.rings.get(name);
    if (ring === undefined) {
      ring = new Ring(KEPT_S);
      this.rings.set(name, ring);
      if (this.state === 'open') this.refill(name);
    }
    return ring;
  }

  /** What happened to a deployment since the page watches, oldest first. */
  events(name: string): readonly LiveEvent[] {
    return this.happened.get(name) ?? [];
  }

  /** The jobs of a deployment, oldest first. */
  jobs(name: string): Activity[] {
    return [...this.activities.values()]
      .filter((activity) => activity.name === name)
      .sort((a, b) => a.started_s - b.started_s);
  }

  /** A point's values in the order of `COLUMNS`, whatever order the stream tells them in. */
  reader(point: Point): (column: number) => number | null | undefined {
    return (column) => point.v[this.places[column] ?? -1];
  }

  private take(message: Message): void {
    this.heardMs = Date.now();
    if (message.hello !== undefined) {
      this.first = true;
      this.release = message.hello.release;
      this.aheadS = message.hello.now_s - Date.now() / 1000;
      const columns = message.hello.columns;
      this.places = COLUMNS.map((column) => columns.indexOf(column));
      for (const name of this.rings.keys()) this.refill(name);
    }
    if (message.glances !== undefined) this.takeGlances(message.glances);
    if (message.gone !== undefined) this.takeGone(message.gone);
    if (message.point !== undefined) {
      const point = message.point;
      this.rings.get(point.name)?.put(point.t, this.reader(point));
      this.tell({ point });
    }
    if (message.event !== undefined) this.takeEvent(message.event);
    if (message.retune !== undefined) this.tell({ retune: message.retune });
    if (message.activities !== undefined) {
      for (const [id, activity] of this.activities)
        if (activity.state === 'running') this.activities.delete(id);
      for (const activity of message.activities) this.activities.set(activity.id, activity);
      this.tell({ activities: true });
    }
    if (message.activity !== undefined) {
      this.activities.set(message.activity.id, message.activity);
      this.forgetOldJobs();
      this.tell({ activity: message.activity });
    }
  }

  private takeGlances(glances: Glance[]): void {
    const names = glances.map((glance) => glance.status.name);
    this.away = !this.first && glances.length === 0; // a supervisor says hello before it says that it has none
    if (this.first || this.away) {
      const gone = [...this.glances.keys()].filter((name) => !names.includes(name));
      if (gone.length > 0) this.takeGone(gone);
    }
    this.first = false;
    this.complete = true;
    for (const glance of glances) this.glances.set(glance.status.name, glance);
    this.tell({ glances: names });
  }

  private takeGone(names: string[]): void {
    for (const name of names) {
      this.glances.delete(name);
      if (this.away) continue; // it is still there when a supervisor is
      this.rings.delete(name);
      this.happened.delete(name);
    }
    this.tell({ gone: names });
  }

  private takeEvent(event: LiveEvent): void {
    const known = this.happened.get(event.name) ?? [];
    const others = known.filter((other) => other.id !== event.id);
    this.happened.set(event.name, [...others, event].slice(-EVENTS));
    this.tell({ event });
  }

  private forgetOldJobs(): void {
    const ended = [...this.activities.values()].filter((activity) => activity.state !== 'running');
    for (const activity of ended.slice(0, Math.max(0, ended.length - 20)))
      this.activities.delete(activity.id);
  }

  private link(state: LinkState): void {
    const before = this.state;
    this.state = state;
    if (state !== before) this.tell({ state });
  }

  /** Read the last minutes anew, one deployment after the other, so that a gap in the stream leaves none here. */
  private refill(name: string): void {
    this.toFill.add(name);
    if (this.filling) return;
    this.filling = true;
    void this.fillAll().finally(() => {
      this.filling = false;
    });
  }

  private async fillAll(): Promise<void> {
    for (const name of this.toFill) {
      this.toFill.delete(name);
      const asked = Math.floor(this.now());
      const path = `/deployments/${encodeURIComponent(name)}/series?seconds=${KEPT_S}&points=${KEPT_S}`;
      try {
        const series = await this.transport.call<Series>('GET', path);
        this.rings.get(name)?.fill(series, asked - LATE_S);
        this.tell({ refilled: name });
      } catch {
        // Points come on by the stream; what is missing stays a gap, which is what is known.
      }
    }
  }

  private tell(change: Change): void {
    for (const listener of [...this.listeners]) listener(change);
  }
}
