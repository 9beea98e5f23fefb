// Metrics as people read them: their names, and their values in the units of health.py.

import type { Trans } from '../api/transport';
import type { Figure, Severity } from '../api/types';
import { coresText, countText, durationText, percentText, sizeText, UNKNOWN } from './format';

const SCORES = new Set(['accuracy', 'precision', 'recall', 'f1', 'r2', 'drift']);

/** A value in the unit of its metric: "3.4 ms", "0.10 %", "500 MB", "0.931". */
export function metricText(metric: string, value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  if (/^p\d+$/.test(metric)) return durationText(value);
  if (metric === 'errors' || metric === 'refused') return percentText(value);
  if (metric === 'memory' || metric.startsWith('disk')) return sizeText(value);
  if (metric === 'cpu') return coresText(value);
  if (SCORES.has(metric.split(':')[0] ?? '')) return scoreText(value);
  if (metric === 'requests' || metric === 'rate') return `${countText(value)} /s`;
  return numberText(value);
}

/** A score between 0 and 1: "0.931". */
export function scoreText(value: number): string {
  return value.toFixed(3);
}

/** Any other number, with four digits that count. */
export function numberText(value: number): string {
  const text = String(Number(value.toPrecision(4)));
  return text.includes('e') ? value.toPrecision(4) : text;
}

/** A metric's name: "F1", "R²", "accuracy"; one that is not known stays as it is. */
export function metricName(metric: string, trans: Trans): string {
  const words: Record<string, string> = {
    accuracy: trans('accuracy'),
    precision: trans('precision'),
    recall: trans('recall'),
    f1: 'F1',
    mae: 'MAE',
    rmse: 'RMSE',
    r2: 'R²',
    errors: trans('errors'),
    refused: trans('refused'),
    memory: trans('memory'),
    cpu: 'CPU',
    disk_free: trans('disk free'),
    drift: trans('drift'),
  };
  return words[metric] ?? metric.replaceAll('_', ' ');
}

/** "0.905 – 0.952"; "" where there is no interval. */
export function intervalText({ metric, low, high }: Figure): string {
  return low === null || high === null ? '' : `${metricText(metric, low)} – ${metricText(metric, high)}`;
}

/** A severity as a sign of its own shape, the class of its colour, and its word. */
export function severityMark(severity: Severity, trans: Trans): { sign: string; tone: string; word: string } {
  const words = { info: trans('info'), warning: trans('warning'), critical: trans('critical') };
  return {
    sign: { info: '●', warning: '▲', critical: '■' }[severity],
    tone: { info: 'acc', warning: 'warn', critical: 'bad' }[severity],
    word: words[severity],
  };
}

export const RANK: Record<Severity, number> = { info: 0, warning: 1, critical: 2 };
