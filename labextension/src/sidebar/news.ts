// What is news, alerts and re-tunes that ended: what a person is told of while the page is not looked at.

import type { Alert, Glance } from '../api/types';

/** How many ids are remembered. */
const KEPT = 500;

export class News {
  private seen: Set<string> | null = null;

  /**
   * The critical alerts that were not there before, each of them once; not those of drills, nor silenced ones.
   *
   * What fires when it is asked first is no news: the page shows it.
   */
  take(glances: readonly Glance[], nowS: number): Alert[] {
    const firing = glances.flatMap((glance) => glance.alerts).filter((alert) => isUrgent(alert, nowS));
    const before = this.seen;
    this.seen = new Set([...(before ?? []), ...firing.map((alert) => alert.id)].slice(-KEPT));
    return before === null ? [] : firing.filter((alert) => !before.has(alert.id));
  }
}

/** Which re-tunes have ended: glances tell of one while it runs. */
export class Ended {
  private running = new Set<string>();

  /** The names of the deployments whose re-tune ran when it was asked last, and runs no more. */
  take(glances: readonly Glance[]): string[] {
    const now = new Set(glances.filter((one) => one.retune !== '').map((one) => one.status.name));
    const there = new Set(glances.map((one) => one.status.name));
    const ended = [...this.running].filter((name) => !now.has(name) && there.has(name));
    this.running = now;
    return ended;
  }
}

function isUrgent(alert: Alert, nowS: number): boolean {
  return (
    alert.severity === 'critical' &&
    alert.state === 'firing' &&
    !alert.drill &&
    alert.silenced_until_s <= nowS
  );
}

/** Whether the reader looks at that deployment's panel now. */
export function isLookedAt(name: string, page: Document = document): boolean {
  if (!page.hasFocus() || page.visibilityState === 'hidden') return false;
  const panels = page.querySelectorAll<HTMLElement>('.adm-panel[data-deployment]');
  return [...panels].some(
    (panel) => panel.dataset['deployment'] === name && panel.getClientRects().length > 0,
  );
}
