// What the tests of the panel stand on: the golden records, and the boundary (a transport, a canvas) played by hand.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { LinkState, Method, Transport } from '../src/api/transport';
import {
  COLUMNS,
  type Column,
  type ErrorPayload,
  type Glance,
  type Health,
  type Message,
  type Offer,
  type Point,
  type Probe,
  type Progress,
  type Series,
  type Shipped,
  type Unlabelled,
  type View,
} from '../src/api/types';
import type { Frame, PlotEvents, PlotMaker } from '../src/chart/plot';

export interface Golden {
  messages: Message[];
  view: View;
  series: Series;
  probe: Probe;
  health: Health;
  unlabelled: Unlabelled[];
  offer: Offer;
  shipped: Shipped;
  error: ErrorPayload;
}

/** A fresh copy of tests/golden/live.json: one of each record, written by Python's tests. */
export function golden(): Golden {
  return JSON.parse(readFileSync(resolve(__dirname, '../../tests/golden/live.json'), 'utf8')) as Golden;
}

// uPlot looks at the screen when it is loaded; jsdom has none.
globalThis.matchMedia = (query: string) =>
  Object.assign(new EventTarget(), {
    matches: false,
    media: query,
    onchange: null,
  }) as unknown as MediaQueryList;

export interface Call {
  method: Method;
  path: string;
  body: unknown;
  onProgress: ((step: Progress) => void) | undefined;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** A transport that answers when the test says so, or by `answer`. */
export class HandTransport implements Transport {
  readonly calls: Call[] = [];
  readonly watchers = new Set<{ message: (m: Message) => void; state: (s: LinkState) => void }>();
  /** Answers a call at once; undefined leaves it to the test. */
  answer: (method: Method, path: string, body: unknown) => unknown = () => undefined;

  call<T>(method: Method, path: string, body?: unknown, onProgress?: (step: Progress) => void): Promise<T> {
    return new Promise<T>((resolve_, reject) => {
      const call: Call = {
        method,
        path,
        body,
        onProgress,
        resolve: (result) => resolve_(result as T),
        reject,
      };
      this.calls.push(call);
      const result = this.answer(method, path, body);
      if (result !== undefined) call.resolve(result);
    });
  }

  watch(message: (m: Message) => void, state: (s: LinkState) => void): { dispose(): void } {
    const watcher = { message, state };
    this.watchers.add(watcher);
    return { dispose: () => this.watchers.delete(watcher) };
  }

  say(message: Message): void {
    for (const watcher of [...this.watchers]) watcher.message(message);
  }

  turn(state: LinkState): void {
    for (const watcher of [...this.watchers]) watcher.state(state);
  }

  /** Open the stream as the server does. */
  open(glances: Glance[], nowS = Date.now() / 1000): void {
    this.turn('open');
    this.say({ hello: { now_s: nowS, release: '0.1.0', columns: [...COLUMNS] } });
    this.say({ glances });
    this.say({ activities: [] });
  }

  last(path: string): Call {
    const call = this.calls.filter((one) => one.path.includes(path)).at(-1);
    if (call === undefined) throw new Error(`nobody called ${path}`);
    return call;
  }

  count(path: string): number {
    return this.calls.filter((one) => one.path.includes(path)).length;
  }
}

export function point(name: string, t: number, given: Partial<Record<Column, number | null>>): Point {
  return { name, t, v: COLUMNS.map((column) => given[column] ?? null) };
}

/** A series of one column, the others not measured. */
export function series(start: number, step: number, column: Column, values: (number | null)[]): Series {
  return {
    name: 'iris',
    start_s: start,
    step_s: step,
    columns: [...COLUMNS],
    values: COLUMNS.map((one) => (one === column ? values : values.map(() => null))),
  };
}

/** In the place of a canvas: keeps what it was told to draw. */
export class Drawing {
  readonly frames = new Map<string, Frame>();
  readonly events = new Map<string, PlotEvents>();
  readonly hovers = new Map<string, number | null>();
  disposed = 0;

  readonly maker: PlotMaker = (_host, spec, _axis, _colours, events) => {
    this.events.set(spec.id, events);
    return {
      update: (frame) => this.frames.set(spec.id, frame),
      hover: (t) => this.hovers.set(spec.id, t),
      resize: () => undefined,
      recolour: () => undefined,
      dispose: () => {
        this.disposed += 1;
      },
    };
  };
}

/** Let what was started run: promises, timers of no length, and frames; after `ms` of waiting. */
export async function settle(ms = 0): Promise<void> {
  if (ms > 0) await new Promise((done) => setTimeout(done, ms));
  for (let i = 0; i < 3; i += 1) await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}
