// How the deployment does: read when the panel opens and whenever the live stream says that something of it changed.

import type { Change, LiveStore } from '../api/store';
import { DeployError, type Disposable, type Method } from '../api/transport';
import type { Alert, Glance, Health, Incident } from '../api/types';

const WAIT_MS = 250;
/** Labels may come many times a second: it is not read more often than this. */
const APART_MS = 2000;

const KINDS: readonly string[] = ['alert', 'incident', 'slo', 'recovery'];

type Call = <T>(method: Method, what: string, body?: unknown) => Promise<T>;

export class HealthWatch implements Disposable {
  /** null: not read yet. */
  now: Health | null = null;
  /** Why it could not be read; null where it was. */
  refusal: DeployError | null = null;

  private readonly subscription: Disposable;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private seen = '';
  private asked = 0;
  private askedMs = 0;
  private unseen = false;
  private disposed = false;

  constructor(
    private readonly name: string,
    private readonly store: LiveStore,
    private readonly call: Call,
    private readonly changed: () => void,
  ) {
    this.subscription = store.subscribe((change) => this.hear(change));
    document.addEventListener('visibilitychange', this.onSight);
    this.hear({ glances: [name] });
  }

  /** Alerts that fire and are not silenced, the worst first. */
  get firing(): Alert[] {
    const told = this.now?.alerts ?? this.store.glances.get(this.name)?.alerts ?? [];
    return told.filter((alert) => alert.state === 'firing');
  }

  get incidents(): readonly Incident[] {
    return this.now?.incidents ?? [];
  }

  isSilenced(alert: Alert): boolean {
    return alert.silenced_until_s > this.store.now();
  }

  /** Take what a call answered, which is newer than what is under way. */
  take(health: Health): void {
    this.asked += 1;
    this.now = health;
    this.refusal = null;
    this.changed();
  }

  takeIncident(incident: Incident): void {
    if (this.now === null) return;
    const incidents = this.now.incidents.map((one) => (one.id === incident.id ? incident : one));
    this.take({ ...this.now, incidents });
  }

  async read(): Promise<void> {
    this.asked += 1;
    const asked = this.asked;
    this.askedMs = Date.now();
    try {
      const health = await this.call<Health>('GET', '/health');
      if (asked !== this.asked || this.disposed) return;
      this.now = health;
      this.refusal = null;
    } catch (thrown) {
      if (asked !== this.asked || this.disposed) return;
      this.refusal = DeployError.of(thrown);
    }
    this.changed();
  }

  readSoon(waitMs = WAIT_MS): void {
    if (this.disposed) return;
    clearTimeout(this.timer);
    if (document.visibilityState === 'hidden') {
      this.unseen = true;
      return;
    }
    const apart = this.askedMs + APART_MS - Date.now();
    this.timer = setTimeout(() => void this.read(), Math.max(waitMs, Math.min(apart, APART_MS)));
  }

  dispose(): void {
    this.disposed = true;
    clearTimeout(this.timer);
    document.removeEventListener('visibilitychange', this.onSight);
    this.subscription.dispose();
  }

  private hear(change: Change): void {
    if (change.state === 'open') this.seen = ''; // what was missed is not known
    const glance = this.store.glances.get(this.name);
    if (change.glances?.includes(this.name) === true && glance !== undefined) {
      const told = fingerprint(glance);
      if (told === this.seen) return;
      const first = this.seen === '';
      this.seen = told;
      this.readSoon(first ? 0 : WAIT_MS);
    }
    const { event } = change;
    if (event?.name === this.name && KINDS.includes(event.kind)) this.readSoon();
  }

  private readonly onSight = (): void => {
    if (document.visibilityState === 'hidden' || !this.unseen) return;
    this.unseen = false;
    this.readSoon(0);
  };
}

/** What of a glance says that the health is another. */
function fingerprint({ status, slo, slo_state, alerts, quality, recovery }: Glance): string {
  const firing = alerts.map((alert) => [alert.id, alert.severity, alert.times, alert.text]);
  return JSON.stringify([status.version, slo, slo_state, firing, quality, recovery]);
}
