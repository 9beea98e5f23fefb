// The page's one WebSocket of live messages: shared by all who watch, opened again by itself when it is lost.

import { NameFilter, type Disposable, type LinkState } from './transport';
import type { Activity, Glance, Hello, Message } from './types';

/** A stream says something at least every two seconds; one that is silent for this long hangs. */
const SILENCE_MS = 8000;
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10_000;
/** A cell that runs again leaves and comes back; the stream is kept for it. */
const LINGER_MS = 2000;

interface Watching {
  names: string[] | null;
  onMessage(message: Message): void;
  onState(state: LinkState): void;
}

type Watcher = Watching & { filter: NameFilter };

export class LiveLine {
  private readonly watchers = new Set<Watcher>();
  private socket: WebSocket | null = null;
  /** What the open stream tells of: null is everything. */
  private carried: string[] | null = [];
  private state: LinkState = 'connecting';
  private waitMs = FIRST_WAIT_MS;
  private heardMs = 0;
  private checkedMs = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private check: ReturnType<typeof setInterval> | undefined;
  private ending: ReturnType<typeof setTimeout> | undefined;
  // What a watcher that comes later is told first.
  private hello: Hello | null = null;
  private readonly glances = new Map<string, Glance>();
  private readonly activities = new Map<string, Activity>();
  private complete = false;

  /** `open` makes a socket that tells of these names, or of all for null. */
  constructor(private readonly open: (names: string[] | null) => WebSocket) {}

  watch(watching: Watching): Disposable {
    clearTimeout(this.ending);
    const watcher = { ...watching, filter: new NameFilter(watching.names) };
    this.watchers.add(watcher);
    if (this.socket === null && this.retry === undefined) this.connect();
    else if (!this.carries(watcher.names)) this.connect();
    else queueMicrotask(() => this.catchUp(watcher));
    return {
      dispose: () => {
        this.watchers.delete(watcher);
        if (this.watchers.size > 0) return;
        clearTimeout(this.ending);
        this.ending = setTimeout(() => this.close(), LINGER_MS);
      },
    };
  }

  private carries(names: string[] | null): boolean {
    if (this.carried === null) return true;
    const carried = this.carried;
    return names?.every((name) => carried.includes(name)) ?? false;
  }

  private wanted(): string[] | null {
    const names = new Set<string>();
    for (const watcher of this.watchers) {
      if (watcher.names === null) return null;
      for (const name of watcher.names) names.add(name);
    }
    return [...names].sort();
  }

  private connect(): void {
    this.drop();
    if (this.check === undefined) {
      this.check = setInterval(() => this.look(), 2000);
      globalThis.addEventListener('online', this.hurry);
      document.addEventListener('visibilitychange', this.hurry);
    }
    this.complete = false;
    this.carried = this.wanted();
    this.tell('connecting');
    let socket: WebSocket;
    try {
      socket = this.open(this.carried);
    } catch {
      this.lost();
      return;
    }
    this.socket = socket;
    this.heardMs = this.checkedMs = Date.now();
    socket.onopen = () => {
      this.heardMs = Date.now();
    };
    socket.onmessage = (message: MessageEvent) => this.hear(message.data);
    socket.onclose = () => this.lost();
    socket.onerror = () => undefined; // a close follows
  }

  private hear(data: unknown): void {
    this.heardMs = Date.now();
    let message: Message;
    try {
      message = JSON.parse(String(data)) as Message;
    } catch {
      return; // a beat of something between; the next message counts
    }
    this.waitMs = FIRST_WAIT_MS;
    if (this.state !== 'open') this.tell('open');
    this.remember(message);
    for (const watcher of [...this.watchers]) {
      const told = watcher.filter.pass(message);
      if (told !== null) watcher.onMessage(told);
    }
  }

  private remember(message: Message): void {
    if (message.hello !== undefined) {
      this.hello = message.hello;
      this.complete = false;
    }
    if (message.glances !== undefined) {
      if (!this.complete || message.glances.length === 0) this.glances.clear();
      this.complete = true;
      for (const glance of message.glances) this.glances.set(glance.status.name, glance);
    }
    for (const name of message.gone ?? []) this.glances.delete(name);
    if (message.activities !== undefined) this.activities.clear();
    for (const activity of message.activities ?? []) this.activities.set(activity.id, activity);
    if (message.activity !== undefined) {
      if (message.activity.state === 'running') this.activities.set(message.activity.id, message.activity);
      else this.activities.delete(message.activity.id);
    }
  }

  private catchUp(watcher: Watcher): void {
    if (!this.watchers.has(watcher)) return;
    watcher.onState(this.state);
    if (this.state !== 'open') return;
    const first: Message[] = this.hello === null ? [] : [{ hello: this.hello }];
    if (this.complete) first.push({ glances: [...this.glances.values()] });
    first.push({ activities: [...this.activities.values()] });
    for (const message of first) {
      const told = watcher.filter.pass(message);
      if (told !== null) watcher.onMessage(told);
    }
  }

  /** Look for silence. A check that comes late itself (a page that slept) gives the messages one more round. */
  private look(): void {
    const now = Date.now();
    const slept = now - this.checkedMs > 2 * SILENCE_MS;
    this.checkedMs = now;
    if (this.socket !== null && !slept && now - this.heardMs > SILENCE_MS) this.lost();
    else if (slept) this.heardMs = now;
  }

  private lost(): void {
    this.drop();
    this.tell('lost');
    const jitter = 0.7 + 0.6 * Math.random();
    this.retry = setTimeout(() => this.connect(), this.waitMs * jitter);
    this.waitMs = Math.min(LONGEST_WAIT_MS, this.waitMs * 1.7);
  }

  /** The network or the reader is back: do not wait for the back-off. */
  private readonly hurry = (): void => {
    if (this.retry === undefined || document.visibilityState === 'hidden') return;
    this.waitMs = FIRST_WAIT_MS;
    this.connect();
  };

  private drop(): void {
    clearTimeout(this.retry);
    this.retry = undefined;
    const socket = this.socket;
    this.socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
  }

  private close(): void {
    this.drop();
    clearInterval(this.check);
    this.check = undefined;
    globalThis.removeEventListener('online', this.hurry);
    document.removeEventListener('visibilitychange', this.hurry);
    this.state = 'connecting';
    this.carried = [];
    this.glances.clear();
    this.activities.clear();
    this.hello = null;
  }

  private tell(state: LinkState): void {
    this.state = state;
    for (const watcher of [...this.watchers]) watcher.onState(state);
  }
}

const LINES = Symbol.for('autodeploy_magic.live.1');

/** The page's line to a URL: the sidebar and the widgets come from different bundles and share it. */
export function lineTo(url: string, open: (names: string[] | null) => WebSocket): LiveLine {
  const page = globalThis as { [LINES]?: Map<string, LiveLine> };
  const lines = (page[LINES] ??= new Map<string, LiveLine>());
  let line = lines.get(url);
  if (line === undefined) {
    line = new LiveLine(open);
    lines.set(url, line);
  }
  return line;
}
