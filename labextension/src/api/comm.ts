// The road over a widget's comm, to the kernel: where the Jupyter Server has no extension of ours (VS Code, Colab).

import {
  DeployError,
  NameFilter,
  type Disposable,
  type LinkState,
  type Method,
  type Transport,
} from './transport';
import type { ErrorPayload, Message, Progress } from './types';

/** The part of an anywidget's model that the road needs. */
export interface CommModel {
  send(content: unknown): void;
  on(event: 'msg:custom', handler: (message: unknown) => void): void;
  off(event: 'msg:custom', handler: (message: unknown) => void): void;
}

/** A kernel that runs a cell answers once the cell has ended: it is said so after this long … */
const BUSY_MS = 3000;
/** … and given up after this long without a sign of life. */
const SILENCE_MS = 120_000;
/** The live stream beats every two seconds. */
const STREAM_SILENCE_MS = 8000;
const LONGEST_WAIT_MS = 15_000;

interface Waiting {
  resolve(result: unknown): void;
  reject(error: DeployError): void;
  onProgress: ((step: Progress) => void) | undefined;
  timer: ReturnType<typeof setTimeout>;
}

interface Answer {
  id?: string;
  progress?: Progress;
  beat?: boolean;
  result?: unknown;
  error?: ErrorPayload;
  live?: Message;
}

interface Watcher {
  filter: NameFilter;
  onMessage(message: Message): void;
  onState(state: LinkState): void;
}

export class CommTransport implements Transport {
  private readonly waiting = new Map<string, Waiting>();
  private readonly watchers = new Set<Watcher>();
  /** Tells this view of the widget from others: a notebook may show it in several places. */
  private readonly mark = Math.random().toString(36).slice(2, 8);
  private count = 0;
  private state: LinkState = 'connecting';
  private timer: ReturnType<typeof setTimeout> | undefined;
  private waitMs = STREAM_SILENCE_MS;
  private disposed = false;

  constructor(private readonly model: CommModel) {
    model.on('msg:custom', this.hear);
  }

  call<T>(method: Method, path: string, body?: unknown, onProgress?: (step: Progress) => void): Promise<T> {
    this.count += 1;
    const id = `${this.mark}-${this.count}`;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => this.quiet(id), BUSY_MS);
      this.waiting.set(id, { resolve: (result) => resolve(result as T), reject, onProgress, timer });
      if (!this.send({ id, call: { method, path, body: body ?? null } })) this.fail(id, noKernel());
    });
  }

  watch(
    onMessage: (message: Message) => void,
    onState: (state: LinkState) => void,
    names?: string[],
  ): Disposable {
    const watcher: Watcher = { filter: new NameFilter(names ?? null), onMessage, onState };
    this.watchers.add(watcher);
    onState('connecting');
    this.ask(); // the kernel begins anew, with all that a newcomer needs
    return {
      dispose: () => {
        this.watchers.delete(watcher);
        if (this.watchers.size > 0) return;
        clearTimeout(this.timer);
        this.state = 'connecting';
        this.send({ watch: false, view: this.mark });
      },
    };
  }

  /** Leave the comm. What is still waited for is given up. */
  dispose(): void {
    if (this.disposed) return;
    this.model.off('msg:custom', this.hear);
    clearTimeout(this.timer);
    for (const id of [...this.waiting.keys()]) this.fail(id, noKernel());
    if (this.watchers.size > 0) this.send({ watch: false, view: this.mark });
    this.watchers.clear();
    this.disposed = true;
  }

  private readonly hear = (message: unknown): void => {
    const answer = message as Answer;
    if (answer.live !== undefined) this.hearLive(answer.live);
    const id = answer.id ?? '';
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return;
    if (answer.progress !== undefined) waiting.onProgress?.(answer.progress);
    if (answer.error !== undefined) this.fail(id, new DeployError(answer.error));
    else if ('result' in answer) {
      clearTimeout(waiting.timer);
      this.waiting.delete(id);
      waiting.resolve(answer.result);
    } else {
      clearTimeout(waiting.timer);
      waiting.timer = setTimeout(() => this.giveUp(id), SILENCE_MS);
    }
  };

  private hearLive(message: Message): void {
    if (this.watchers.size === 0) return;
    this.waitMs = STREAM_SILENCE_MS;
    this.expect();
    if (this.state !== 'open') this.tell('open');
    for (const watcher of [...this.watchers]) {
      const told = watcher.filter.pass(message);
      if (told !== null) watcher.onMessage(told);
    }
  }

  private ask(): void {
    const sent = this.send({ watch: true, view: this.mark });
    this.expect();
    if (!sent) queueMicrotask(() => this.tell('lost'));
  }

  private expect(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.tell('lost');
      this.waitMs = Math.min(LONGEST_WAIT_MS, this.waitMs * 1.5);
      this.ask();
    }, this.waitMs);
  }

  private quiet(id: string): void {
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return;
    waiting.onProgress?.({ step: 'waiting for the kernel', state: 'started', seconds: 0, detail: '' });
    waiting.timer = setTimeout(() => this.giveUp(id), SILENCE_MS);
  }

  private giveUp(id: string): void {
    this.fail(
      id,
      new DeployError({
        error: 'Unreachable',
        what: `the kernel said nothing for ${SILENCE_MS / 1000} s`,
        why: 'it is busy with a cell, or it has ended; a busy kernel may still do what was asked',
        fix: 'interrupt the cell, or run `%deploy attach` in a new kernel; the deployment serves on meanwhile',
      }),
    );
  }

  private fail(id: string, error: DeployError): void {
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.waiting.delete(id);
    waiting.reject(error);
  }

  private send(content: unknown): boolean {
    if (this.disposed) return false;
    try {
      this.model.send(content);
      return true;
    } catch {
      return false; // the comm is closed: the kernel was restarted, or there never was one
    }
  }

  private tell(state: LinkState): void {
    this.state = state;
    for (const watcher of [...this.watchers]) watcher.onState(state);
  }
}

function noKernel(): DeployError {
  return new DeployError({
    error: 'Unreachable',
    what: 'the kernel of this notebook cannot be reached',
    why: 'it has ended or was started anew, or the notebook is shown without one',
    fix: 'run `%deploy attach` in a running kernel; the deployment serves on meanwhile',
  });
}
