import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LiveLine } from '../src/api/line';
import { ServerTransport } from '../src/api/server';
import type { LinkState } from '../src/api/transport';
import type { Message } from '../src/api/types';
import { golden, point } from './stand';

class Socket {
  static readonly all: Socket[] = [];
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;

  constructor(readonly url: string) {
    Socket.all.push(this);
  }

  close(): void {
    this.closed = true;
  }

  say(...messages: Message[]): void {
    for (const message of messages) this.onmessage?.({ data: JSON.stringify(message) });
  }
}

const last = (): Socket => Socket.all.at(-1) ?? new Socket('none');
const [hello, glances] = golden().messages as [Message, Message];

class Ear {
  readonly heard: Message[] = [];
  readonly states: LinkState[] = [];
  readonly message = (message: Message): void => void this.heard.push(message);
  readonly state = (state: LinkState): void => void this.states.push(state);
}

let pages = 0;

function server(): ServerTransport {
  return new ServerTransport({ baseUrl: `/page${pages}/`, WebSocket: Socket as unknown as typeof WebSocket });
}

beforeEach(() => {
  vi.useFakeTimers();
  Socket.all.length = 0;
  pages += 1;
});
afterEach(() => vi.useRealTimers());

describe("the page's one stream", () => {
  it('is shared by transports of the same server, and tells a newcomer what there is', async () => {
    const [first, second] = [new Ear(), new Ear()];
    server().watch(first.message, first.state);
    expect(last().url).toMatch(/^ws:.*\/autodeploy\/live$/);
    last().say(hello, glances);
    server().watch(second.message, second.state);
    await vi.advanceTimersByTimeAsync(1);
    expect(Socket.all).toHaveLength(1);
    expect(second.states).toEqual(['open']);
    expect(second.heard).toEqual([hello, glances, { activities: [] }]);
    last().say({ beat: true });
    expect([first.heard.at(-1), second.heard.at(-1)]).toEqual([{ beat: true }, { beat: true }]);
  });

  it('asks for the names that are watched, and for more when more are', () => {
    const [iris, churn] = [new Ear(), new Ear()];
    server().watch(iris.message, iris.state, ['iris']);
    expect(last().url).toMatch(/live\?names=iris$/);
    last().say(hello, glances);
    server().watch(churn.message, churn.state, ['churn']);
    expect(Socket.all).toHaveLength(2);
    expect(Socket.all[0]?.closed).toBe(true);
    expect(last().url).toMatch(/names=churn%2Ciris$/);
    last().say(hello, glances, { point: point('churn', 5, {}) });
    expect(iris.heard.filter((message) => message.point !== undefined)).toEqual([]);
    expect(churn.heard.at(-1)?.point?.name).toBe('churn');
  });

  it('opens again when it is lost, later each time, with a jitter', async () => {
    const ear = new Ear();
    server().watch(ear.message, ear.state);
    const waits: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      const before = Date.now();
      last().onclose?.();
      const count = Socket.all.length;
      while (Socket.all.length === count) await vi.advanceTimersByTimeAsync(20);
      waits.push(Date.now() - before);
    }
    expect(waits[0]).toBeLessThan(700);
    expect(waits.at(-1)).toBeGreaterThan(5000);
    expect(Math.max(...waits)).toBeLessThan(13_500);
    expect(ear.states.slice(0, 3)).toEqual(['connecting', 'lost', 'connecting']);
    last().say(hello);
    expect(ear.states.at(-1)).toBe('open');
  });

  it('takes a stream for lost that is silent, and one that beats not', async () => {
    const ear = new Ear();
    server().watch(ear.message, ear.state);
    last().say(hello, glances);
    for (let i = 0; i < 10; i += 1) {
      await vi.advanceTimersByTimeAsync(2000);
      last().say({ beat: true });
    }
    expect(ear.states.at(-1)).toBe('open');
    await vi.advanceTimersByTimeAsync(12_000); // it looks every few seconds, and waits a moment before it tries again
    expect(ear.states).toContain('lost');
    expect(Socket.all.length).toBeGreaterThan(1);
  });

  it('does not wait for the back-off when the network is back', async () => {
    const ear = new Ear();
    server().watch(ear.message, ear.state);
    for (let i = 0; i < 6; i += 1) {
      last().onclose?.();
      await vi.advanceTimersByTimeAsync(14_000);
    }
    last().onclose?.();
    const count = Socket.all.length;
    globalThis.dispatchEvent(new Event('online'));
    expect(Socket.all.length).toBe(count + 1);
  });

  it('is closed when nobody watches, and kept for a cell that runs again', async () => {
    const ear = new Ear();
    const watching = server().watch(ear.message, ear.state);
    last().say(hello, glances);
    watching.dispose();
    await vi.advanceTimersByTimeAsync(500);
    const again = server().watch(ear.message, ear.state);
    await vi.advanceTimersByTimeAsync(5000);
    expect(Socket.all).toHaveLength(1);
    again.dispose();
    await vi.advanceTimersByTimeAsync(3000);
    expect(Socket.all[0]?.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(Socket.all).toHaveLength(1);
  });

  it('is not stopped by a message that is no JSON, or by a socket that cannot be made', async () => {
    const ear = new Ear();
    const refusing = new LiveLine(() => {
      throw new Error('no sockets here');
    });
    refusing.watch({ names: null, onMessage: ear.message, onState: ear.state });
    expect(ear.states).toEqual(['connecting', 'lost']);
    server().watch(ear.message, ear.state);
    last().onmessage?.({ data: 'hm' });
    last().say({ beat: true });
    expect(ear.heard).toEqual([{ beat: true }]);
    await vi.advanceTimersByTimeAsync(1);
  });
});
