// What is known of all deployments while nobody follows the stream: a glance now and then.

import { Poll } from '@lumino/polling';
import { Signal, type ISignal } from '@lumino/signaling';

import type { Glance } from '../api/types';
import type { IDeployments } from './tokens';

/** The live stream makes the supervisor measure each second; a glance does not. */
const EVERY_MS = 10_000;

export class Seen {
  private readonly _changed = new Signal<this, readonly Glance[] | null>(this);
  private readonly poll: Poll;
  private reasons = new Set<string>();
  private hidden = false;

  constructor(private readonly deployments: IDeployments) {
    const { store, linkChanged } = deployments;
    store.subscribe((change) => {
      if (change.point === undefined && this.reasons.size > 0) this.fromStore();
    });
    this.poll = new Poll({
      name: 'autodeploy-magic:seen',
      auto: false,
      factory: () => this.look(),
      frequency: { interval: EVERY_MS, backoff: true, max: 120_000 },
      standby: () => (this.reasons.size === 0 ? true : this.hidden ? 'never' : 'when-hidden'),
    });
    this.poll.ticked.connect((_, { phase }) => {
      if (phase === 'rejected') this._changed.emit(null);
    });
    linkChanged.connect(() => {
      if (this.reasons.size > 0) void this.poll.refresh();
    });
  }

  /** All deployments; null where nothing is known. */
  get changed(): ISignal<this, readonly Glance[] | null> {
    return this._changed;
  }

  /** Look, or leave it, for a reason; `hidden`: while the page is hidden, too. */
  want(reason: string, wanted: boolean, hidden = false): void {
    if (wanted) this.reasons.add(reason);
    else this.reasons.delete(reason);
    if (hidden) this.hidden = wanted;
    if (this.reasons.size > 0) void this.poll.start().then(() => this.poll.refresh());
    else void this.poll.stop();
  }

  private async look(): Promise<void> {
    const { deployments } = this;
    if (deployments.link !== 'there' && (await deployments.check()) !== 'there') {
      this._changed.emit(null);
      return;
    }
    if (this.fromStore()) return;
    this._changed.emit(await deployments.transport.call<Glance[]>('GET', '/glances'));
  }

  private fromStore(): boolean {
    const { store } = this.deployments;
    if (!store.complete || store.state !== 'open') return false;
    this._changed.emit([...store.glances.values()]);
    return true;
  }
}
