import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CommTransport, type CommModel } from '../src/api/comm';
import { DeployError, type LinkState } from '../src/api/transport';
import type { Message, Progress } from '../src/api/types';
import { golden } from './stand';

interface Sent {
  id?: string;
  call?: { method: string; path: string; body: unknown };
  watch?: boolean;
  view?: string;
}

class Kernel implements CommModel {
  readonly sent: Sent[] = [];
  private readonly handlers = new Set<(message: unknown) => void>();
  closed = false;

  send(content: unknown): void {
    if (this.closed) throw new Error('the comm is closed');
    this.sent.push(content as Sent);
  }

  on(_: 'msg:custom', handler: (message: unknown) => void): void {
    this.handlers.add(handler);
  }

  off(_: 'msg:custom', handler: (message: unknown) => void): void {
    this.handlers.delete(handler);
  }

  say(message: unknown): void {
    for (const handler of [...this.handlers]) handler(message);
  }

  get listeners(): number {
    return this.handlers.size;
  }
}

let kernel: Kernel;
let comm: CommTransport;

beforeEach(() => {
  vi.useFakeTimers();
  kernel = new Kernel();
  comm = new CommTransport(kernel);
});
afterEach(() => vi.useRealTimers());

describe('a call over the comm', () => {
  it('is answered by its id, with steps before', async () => {
    const steps: Progress[] = [];
    const one = comm.call('POST', '/deployments/iris/scale', { workers: 2 }, (step) => steps.push(step));
    const two = comm.call('GET', '/glances');
    expect(kernel.sent[0]?.call).toEqual({
      method: 'POST',
      path: '/deployments/iris/scale',
      body: { workers: 2 },
    });
    const [a, b] = kernel.sent.map((sent) => sent.id);
    expect(a).not.toBe(b);
    kernel.say({ id: b, result: [] });
    kernel.say({ id: a, progress: { step: 'start', state: 'started', seconds: 0, detail: '' } });
    kernel.say({ id: a, result: { state: 'running' } });
    expect(await two).toEqual([]);
    expect(await one).toEqual({ state: 'running' });
    expect(steps.map((step) => step.step)).toEqual(['start']);
    kernel.say({ id: a, result: 'late' }); // nobody waits for it any more
  });

  it('raises what Python raised', async () => {
    const { error } = golden();
    const call = comm.call('GET', '/x').catch((thrown: unknown) => thrown);
    kernel.say({ id: kernel.sent[0]?.id, error });
    expect(await call).toBeInstanceOf(DeployError);
    expect(((await call) as DeployError).fix).toBe(error.fix);
  });

  it('says that it waits for a busy kernel, and knows its beats', async () => {
    const steps: Progress[] = [];
    const ended = vi.fn();
    const call = comm.call('POST', '/x', {}, (step) => steps.push(step)).finally(ended);
    call.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(4000);
    expect(steps.map((step) => step.step)).toEqual(['waiting for the kernel']);
    for (let i = 0; i < 4; i += 1) {
      await vi.advanceTimersByTimeAsync(100_000);
      kernel.say({ id: kernel.sent[0]?.id, beat: true });
    }
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(121_000);
    await expect(call).rejects.toMatchObject({ error: 'Unreachable' });
  });

  it('fails at once where there is no kernel', async () => {
    kernel.closed = true;
    await expect(comm.call('GET', '/x')).rejects.toMatchObject({ error: 'Unreachable' });
  });
});

describe('the stream over the comm', () => {
  it('begins when somebody watches, ends when nobody does, and leaves nothing behind', () => {
    const heard: Message[] = [];
    const states: LinkState[] = [];
    const watching = comm.watch(
      (message) => heard.push(message),
      (state) => states.push(state),
      ['iris'],
    );
    const view = kernel.sent[0]?.view;
    expect(kernel.sent).toEqual([{ watch: true, view }]);
    expect(view).toMatch(/\w{4,}/);
    for (const live of golden().messages) kernel.say({ live });
    expect(states).toEqual(['connecting', 'open']);
    expect(heard.find((message) => message.glances)?.glances?.map((glance) => glance.status.name)).toEqual([
      'iris',
    ]);
    expect(heard.some((message) => message.event)).toBe(false); // it is of churn
    watching.dispose();
    expect(kernel.sent.at(-1)).toEqual({ watch: false, view });
    comm.dispose();
    expect(kernel.listeners).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is lost when it is silent, asked for again, and found', async () => {
    const states: LinkState[] = [];
    comm.watch(
      () => undefined,
      (state) => states.push(state),
    );
    kernel.say({ live: { beat: true } });
    await vi.advanceTimersByTimeAsync(9000);
    expect(states.at(-1)).toBe('lost');
    expect(kernel.sent.filter((sent) => sent.watch === true).length).toBeGreaterThan(1);
    kernel.say({ live: { beat: true } });
    expect(states.at(-1)).toBe('open');
    comm.dispose();
  });
});
