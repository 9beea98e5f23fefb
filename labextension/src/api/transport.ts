// How a page reaches the supervisor, whichever road it takes; and the one error that each road raises.

import type { ErrorPayload, Json, Message, Progress } from './types';

/** Translates a text; %1, %2 … stand for the arguments, as in @jupyterlab/translation. */
export type Trans = (text: string, ...args: unknown[]) => string;

/** The text as it is, its arguments filled in: for a page without translations. */
export const plain: Trans = (text, ...args) =>
  text.replace(/%(\d)/g, (whole, digit: string) => {
    const value = args[Number(digit) - 1];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : whole;
  });

export interface Disposable {
  dispose(): void;
}

export type LinkState = 'connecting' | 'open' | 'lost';
export type Method = 'GET' | 'POST' | 'DELETE';

export interface Transport {
  /** The folder on the machine that serves that the page shows files of; "" where it shows none. */
  readonly root?: string;
  /** Make one call of the supervisor and return its result. Rejects with a `DeployError`. */
  call<T>(method: Method, path: string, body?: unknown, onProgress?: (step: Progress) => void): Promise<T>;
  /** Follow the live stream, of these deployments or of all, until it is disposed. */
  watch(
    onMessage: (message: Message) => void,
    onState: (state: LinkState) => void,
    names?: string[],
  ): Disposable;
}

/** What went wrong, why, and what to do; `error` is the name of the error's class in Python. */
export class DeployError extends Error {
  readonly error: string;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
  readonly details: Record<string, Json>;

  constructor(payload: ErrorPayload) {
    super(payload.what);
    this.name = 'DeployError';
    this.error = payload.error;
    this.what = payload.what;
    this.why = payload.why;
    this.fix = payload.fix;
    this.details = payload.details ?? {};
  }

  /** Anything that was thrown, as a `DeployError`. */
  static of(thrown: unknown): DeployError {
    if (thrown instanceof DeployError) return thrown;
    if (isPayload(thrown)) return new DeployError({ ...thrown, why: thrown.why, fix: thrown.fix });
    const what = thrown instanceof Error ? thrown.message : String(thrown);
    return new DeployError({ error: 'Error', what, why: '', fix: '' });
  }
}

/** Lets through what is about some deployments; what is about none, like a beat, is for everybody. */
export class NameFilter {
  private fresh = false;

  constructor(private readonly names: readonly string[] | null) {}

  pass(message: Message): Message | null {
    const names = this.names;
    if (names === null) return message;
    if (message.hello !== undefined) this.fresh = true;
    const told = message.point ?? message.event ?? message.activity ?? message.retune;
    if (told !== undefined) return names.includes(told.name) ? message : null;
    if (message.glances !== undefined) {
      const glances = message.glances.filter((glance) => names.includes(glance.status.name));
      // The first list is all there is, and says so even where it is empty; a later one tells of changes.
      const all = this.fresh || message.glances.length === 0;
      this.fresh = false;
      return all || glances.length > 0 ? { glances } : null;
    }
    if (message.activities !== undefined)
      return { activities: message.activities.filter((activity) => names.includes(activity.name)) };
    if (message.gone !== undefined) return { gone: message.gone.filter((name) => names.includes(name)) };
    return message;
  }
}

export function isPayload(value: unknown): value is ErrorPayload {
  return typeof value === 'object' && value !== null && 'what' in value && 'error' in value;
}
