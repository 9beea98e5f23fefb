// What one line says of a deployment's last seconds. What was not measured is "–", and never 0.

import type { Ring } from '../api/ring';
import type { Trans } from '../api/transport';
import type { Activity, Alert, Column, Glance, Severity } from '../api/types';
import {
  durationText,
  momentText,
  percentText,
  rateText,
  shareText,
  sizeText,
  UNKNOWN,
} from '../panel/format';
import { RANK } from '../panel/measure';

/** A figure is of the last seconds; older ones say nothing of now. */
const RECENT_S = 10;

export interface Figures {
  /** p99 of the last second that had requests. */
  latency: string;
  /** Rate, errors, memory; "" where nothing is known. */
  line: string;
}

export function figures(ring: Ring, nowS: number): Figures {
  if (ring.last < nowS - RECENT_S) return { latency: UNKNOWN, line: '' };
  const seen = (column: Column): number[] =>
    ring.recent(column, RECENT_S).filter((value): value is number => value !== null);
  const requests = seen('requests_per_s');
  const asked = sum(requests);
  const memory = seen('memory_bytes').at(-1);
  const parts: string[] = [];
  if (requests.length > 0) parts.push(rateText(asked / requests.length).replace(' /s', '/s'));
  if (asked > 0) parts.push(`${percentText(sum(seen('failed_per_s')) / asked)} errors`);
  if (memory !== undefined) parts.push(sizeText(memory));
  return { latency: durationText(seen('p99_s').at(-1)), line: parts.join(' · ') };
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The state as a word, and as a shape for the dot. */
export function stateText(glance: Glance, trans: Trans): string {
  const words = {
    starting: trans('starting'),
    running: trans('running'),
    degraded: trans('degraded'),
    failed: trans('failed'),
    stopped: trans('stopped'),
  };
  return words[glance.status.state];
}

/** What wants an eye: alerts first, then why the state is what it is. null for nothing. */
export function concern(glance: Glance, trans: Trans): { text: string; severity: Severity } | null {
  const alert = worst(glance.alerts);
  if (alert !== null && alert.text !== '') {
    const others = glance.alerts.length - 1;
    const text = others > 0 ? trans('%1, and %2 more', alert.text, others) : alert.text;
    return { text, severity: alert.severity };
  }
  const { state, reason } = glance.status;
  if (reason !== '' && state !== 'running' && state !== 'stopped')
    return { text: reason, severity: state === 'failed' ? 'critical' : 'warning' };
  if (glance.slo_state === 'broken')
    return { text: trans('SLO broken: %1', glance.slo), severity: 'critical' };
  if (glance.slo_state === 'burning')
    return { text: trans('SLO at risk: %1', glance.slo), severity: 'warning' };
  return null;
}

/** The worst of some alerts; of those that are as bad, the newest. */
export function worst(alerts: readonly Alert[]): Alert | null {
  return alerts.reduce<Alert | null>((found, alert) => {
    const more = found === null ? 1 : RANK[alert.severity] - RANK[found.severity];
    return more > 0 || (more === 0 && alert.since_s >= (found?.since_s ?? 0)) ? alert : found;
  }, null);
}

/** Versions beside the champion: "v12 canary 10%, v9 shadow"; "" for none. */
export function trafficText(glance: Glance, trans: Trans): string {
  const { canary, share, shadow } = glance.status.traffic;
  const parts: string[] = [];
  if (canary > 0) parts.push(trans('v%1 canary %2', canary, shareText(share)));
  if (shadow > 0) parts.push(trans('v%1 shadow', shadow));
  return parts.join(', ');
}

/** Since when it is stopped or failed: "since 17:20". */
export function sinceText(glance: Glance, nowS: number, trans: Trans): string {
  return glance.changed_s > 0 ? trans('since %1', momentText(glance.changed_s, nowS)) : '';
}

/** Where a job is: "start · version 3"; the last step that it told of. */
export function jobText(job: Activity): string {
  const step = job.steps.at(-1);
  if (job.state === 'failed') return `${job.title}: ${job.error || step?.detail || ''}`;
  if (step === undefined) return job.title;
  return [job.title, step.step, step.detail].filter((part) => part !== '').join(' · ');
}
