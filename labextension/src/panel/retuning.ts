// What is known of the re-tunes: read with the view, and brought up to date by the live stream.

import type { Change } from '../api/store';
import type { Contender, Retune } from '../api/retunes';

/** How many are kept. */
const KEPT = 10;

export class Retunes {
  private readonly known = new Map<string, Retune>();
  /** Those whose record was read with every text. */
  private readonly whole = new Set<string>();
  /** Those that ended, were taken or were rolled back while this page watched. */
  readonly fresh = new Set<string>();

  constructor(
    private readonly name: string,
    private readonly read: (what: string) => Promise<Retune>,
    private readonly changed: () => void,
  ) {}

  /** Newest first. */
  get all(): Retune[] {
    return [...this.known.values()].sort((a, b) => b.started_s - a.started_s);
  }

  get running(): Retune | null {
    return this.all.find((one) => one.state === 'running') ?? null;
  }

  get(id: string): Retune | null {
    return this.known.get(id) ?? null;
  }

  /** The one that an event of that time is about: that began, ended or was taken nearest to it. */
  at(seconds: number): string {
    const far = (one: Retune): number =>
      Math.min(...[one.started_s, one.ended_s, one.promoted_s].map((time) => Math.abs(time - seconds)));
    return (
      this.all.reduce<Retune | null>(
        (near, one) => (near === null || far(one) < far(near) ? one : near),
        null,
      )?.id ?? ''
    );
  }

  hear({ retune }: Change): void {
    if (retune === undefined || retune.name !== this.name) return;
    this.take(retune);
    this.changed();
  }

  /** Take one that was told or answered; one that has ended does not run again. */
  take(retune: Retune): void {
    const before = this.known.get(retune.id);
    if (before !== undefined && !isAsNew(retune, before)) return;
    if (before?.state === 'running' && retune.state !== 'running') {
      this.fresh.add(retune.id);
      this.whole.delete(retune.id);
    }
    const moved = retune.promoted !== before?.promoted || retune.undone !== before.undone;
    if (before !== undefined && moved) this.fresh.add(retune.id);
    // The checks are left out where many are told: those that are known stay.
    const checked = new Map(before?.contenders.map((one) => [one.id, one]));
    const contenders = retune.contenders.map((one) => withChecks(one, checked.get(one.id)));
    this.known.set(retune.id, { ...retune, contenders });
    for (const old of this.all.slice(KEPT)) this.known.delete(old.id);
  }

  /** Take what a call answered, and show it. */
  put(retune: Retune): void {
    this.take(retune);
    this.changed();
  }

  /** Take those of a view. One that ran for us and is not there any more is not known to run. */
  takeAll(retunes: readonly Retune[]): void {
    for (const retune of retunes) this.take(retune);
    const told = new Set(retunes.map((one) => one.id));
    for (const one of this.all)
      if (one.state === 'running' && !told.has(one.id) && retunes.length > 0) this.known.delete(one.id);
  }

  /** Read one with every text, once it has ended. */
  async fill(id: string): Promise<void> {
    const now = this.known.get(id);
    if (now === undefined || now.state === 'running' || this.whole.has(id)) return;
    this.whole.add(id);
    if (now.contenders.some((one) => one.checks.length > 0)) return;
    try {
      this.take(await this.read(`/retunes/${encodeURIComponent(id)}`));
      this.changed();
    } catch {
      this.whole.delete(id); // what is known is shown; the next look asks again
    }
  }
}

/** Whether a job is a re-tune, which is told by itself. */
export function isRetuneJob(title: string): boolean {
  return /^re-?tune\b/i.test(title);
}

function isAsNew(one: Retune, before: Retune): boolean {
  const age = (of: Retune): number[] => [of.state === 'running' ? 0 : 1, of.promoted_s, of.undone ? 1 : 0];
  const [a, b] = [age(one), age(before)];
  const i = a.findIndex((value, at) => value !== b[at]);
  return i < 0 || (a[i] ?? 0) > (b[i] ?? 0);
}

function withChecks(one: Contender, before: Contender | undefined): Contender {
  return one.checks.length === 0 && before !== undefined && before.checks.length > 0
    ? { ...one, checks: before.checks }
    : one;
}
