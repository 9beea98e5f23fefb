// A candidate of a re-tune in words: what it is, how it stands to what serves, and what became of it.

import type { Contender, Figures, Goal, Retune } from '../api/retunes';
import type { Trans } from '../api/transport';
import { durationText, percentText, UNKNOWN } from './format';
import { metricName, metricText } from './measure';

/** Figures of which less is better. */
const ERRORS = /^(mae|mse|rmse|mape|smape|medae|max_error|log_?loss|brier|error)/;
/** Two CPU times that differ by less than this are as good as the same. */
const SAME = 0.03;

/** How right contenders are compared: by the task's figure where there are labels, else by what the champion says. */
export type Measure = 'metric' | 'agreement' | 'cosine';

export const championOf = ({ contenders }: Retune): Contender | null =>
  contenders.find((one) => one.state === 'champion') ?? contenders.find((one) => one.id === 'c0') ?? null;

export const challengersOf = (retune: Retune): Contender[] => {
  const champion = championOf(retune);
  return retune.contenders.filter((one) => one !== champion);
};

export const contenderOf = (retune: Retune, id: string): Contender | null =>
  retune.contenders.find((one) => one.id === id) ?? null;

/** How many are through, of how many that fit this model. */
export function doneOf(retune: Retune): [number, number] {
  const all = challengersOf(retune).filter((one) => one.state !== 'skipped');
  const open = ['waiting', 'making', 'measuring'];
  return [all.filter((one) => !open.includes(one.state)).length, all.length];
}

/** The measure that most can be compared by. */
export function measureOf({ contenders }: Retune): Measure | null {
  const has = (measure: Measure): boolean =>
    contenders.some((one) => one.state !== 'champion' && valueOf(one.figures, measure) !== null);
  return (['metric', 'agreement', 'cosine'] as const).find(has) ?? null;
}

export function valueOf(figures: Figures, measure: Measure): number | null {
  return measure === 'metric' ? figures.value : figures[measure];
}

export function isError(metric: string): boolean {
  return ERRORS.test(metric);
}

export function measureName(measure: Measure, metric: string, trans: Trans): string {
  if (measure === 'metric') return metricName(metric, trans);
  return measure === 'agreement' ? trans('answers like now') : trans('cosine to the answers of now');
}

export function measureText(measure: Measure, metric: string, value: number | null): string {
  if (value === null) return UNKNOWN;
  if (measure === 'metric') return metricText(metric, value);
  return measure === 'cosine' ? value.toFixed(3) : agreementText(value);
}

/** "99.8 %", and "100 %" for all alone. */
export function agreementText(share: number): string {
  return share > 0.99 && share < 1 ? `${(Math.floor(1e4 * share) / 100).toFixed(2)} %` : percentText(share);
}

/** "0.940 ± 0.024", or with both bounds where they are not alike; "" where nothing was measured. */
export function intervalOf({ metric, value, low, high }: Figures): string {
  if (value === null || low === null || high === null) return '';
  return `${metricText(metric, low)} – ${metricText(metric, high)}`;
}

/** "2.1× less", "1.3× more", "the same"; "" where one is not known. */
export function ratioText(value: number | null, before: number | null, trans: Trans): string {
  if (value === null || before === null || !(value > 0) || !(before > 0)) return '';
  const ratio = before / value;
  if (Math.abs(ratio - 1) < SAME) return trans('the same');
  const word = (times: number): string => times.toFixed(times < 9.95 ? (times < 1.1 ? 2 : 1) : 0);
  return ratio > 1 ? trans('%1× less', word(ratio)) : trans('%1× more', word(1 / ratio));
}

/** "int8, dynamic: CPU 2.1× less, accuracy 0.970": what speaks for one. */
export function praise(one: Contender, retune: Retune, trans: Trans): string {
  const { figures } = one;
  const before = championOf(retune)?.figures;
  const facts: string[] = [];
  const add = (name: string, text: string): void => {
    if (text !== '') facts.push(`${name} ${text}`);
  };
  add('CPU', ratioText(figures.cpu_s, before?.cpu_s ?? null, trans));
  if (one.layout !== null || facts.length === 0)
    add('p95', ratioText(figures.p95_s, before?.p95_s ?? null, trans));
  const measure = (['metric', 'agreement', 'cosine'] as const).find(
    (some) => valueOf(figures, some) !== null,
  );
  if (measure !== undefined)
    add(
      measureName(measure, figures.metric, trans),
      measureText(measure, figures.metric, valueOf(figures, measure)),
    );
  return facts.length === 0 ? one.title : `${one.title}: ${facts.join(', ')}`;
}

/** What became of it, as a sign, the class of its colour, and a word. */
export function stateMark(one: Contender, trans: Trans): { sign: string; tone: string; word: string } {
  switch (one.state) {
    case 'champion':
      return { sign: '●', tone: 'acc', word: trans('serves') };
    case 'passed':
      return { sign: '✓', tone: 'ok', word: trans('passed') };
    case 'fell':
      return { sign: '✗', tone: 'bad', word: trans('fell') };
    case 'failed':
      return { sign: '!', tone: 'warn', word: trans('failed') };
    case 'skipped':
      return { sign: '–', tone: 'mut', word: trans('left out') };
    case 'waiting':
      return { sign: '○', tone: 'mut', word: trans('waits') };
    case 'making':
      return { sign: '…', tone: 'acc', word: trans('is made') };
    case 'measuring':
      return { sign: '…', tone: 'acc', word: trans('is measured') };
  }
}

export function familyText(one: Contender, trans: Trans): string {
  return {
    run: trans('run better'),
    smaller: trans('smaller, faster'),
    better: trans('more right'),
  }[one.family];
}

export function goalText(goal: Goal, trans: Trans): string {
  return {
    auto: trans('Whatever helps'),
    latency: trans('Faster'),
    size: trans('Smaller'),
    quality: trans('More right'),
  }[goal];
}

/** Who asked: "the schedule", "incident i7"; "" for the button. */
export function triggerText(trigger: string, trans: Trans): string {
  const [word = '', id = ''] = trigger.split(' ');
  const words: Record<string, string> = {
    button: '',
    schedule: trans('by the schedule'),
    incident: trans('by incident %1', id),
    replay: trans('replay of %1', id),
  };
  return words[word] ?? trigger;
}

/** "5 min", "90 s": a budget. */
export function budgetText(seconds: number): string {
  return seconds >= 60 && seconds % 60 === 0 ? `${seconds / 60} min` : durationText(seconds);
}
