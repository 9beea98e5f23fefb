// What the plot of a re-tune shows: who has a circle, where, and what is said of it.

import type { Contender, Retune } from '../api/retunes';
import type { Trans } from '../api/transport';
import type { Scene, Spot } from '../chart/pareto';
import {
  championOf,
  intervalOf,
  isError,
  measureName,
  measureOf,
  measureText,
  ratioText,
  stateMark,
  valueOf,
  type Measure,
} from './contender';
import { durationText, sizeText } from './format';

/** null: nothing was measured in both directions. */
export function sceneOf(retune: Retune, trans: Trans): Scene | null {
  const measure = measureOf(retune);
  if (measure === null) return null;
  const metric = retune.contenders.find((one) => one.figures.metric !== '')?.figures.metric ?? '';
  const spots = retune.contenders.flatMap((one) => spotOf(one, retune, measure, trans) ?? []);
  if (spots.length === 0) return null;
  const yName = measureName(measure, metric, trans);
  return {
    spots,
    label: trans(
      '%1 candidates by CPU time of a request and %2; the arrow keys go from one to the next',
      spots.length,
      yName,
    ),
    xName: trans('less CPU a request'),
    yName: measure === 'metric' && isError(metric) ? trans('%1, less is better', yName) : yName,
    xText: durationText,
    yText: (value) => measureText(measure, metric, value),
    down: measure === 'metric' && isError(metric),
  };
}

function spotOf(one: Contender, retune: Retune, measure: Measure, trans: Trans): Spot | null {
  const { figures, state } = one;
  // Another way to run it gives the same answers: it is as right as what serves.
  const same = one.layout !== null && measure === 'metric' ? championOf(retune)?.figures.value : null;
  const y = valueOf(figures, measure) ?? same ?? null;
  if (figures.cpu_s === null || y === null) return null;
  if (state !== 'champion' && state !== 'passed' && state !== 'fell') return null;
  const chosen = one.id === retune.chosen && state !== 'champion' && retune.state === 'done';
  const champion = championOf(retune);
  const own = figures.value !== null && measure === 'metric';
  const { sign, word } = stateMark(one, trans);
  const ratio = one === champion ? '' : ratioText(figures.cpu_s, champion?.figures.cpu_s ?? null, trans);
  const interval = own ? intervalOf(figures) : '';
  const facts = [
    one.title,
    `${measureName(measure, figures.metric, trans)} ${measureText(measure, figures.metric, y)}${interval === '' ? '' : ` (${interval})`}`,
    `CPU ${durationText(figures.cpu_s)}${ratio === '' ? '' : `, ${ratio}`}`,
    figures.size_bytes === null ? '' : `${trans('size')} ${sizeText(figures.size_bytes)}`,
    `${sign} ${chosen ? trans('the choice') : word}`,
  ];
  return {
    id: one.id,
    label: state === 'champion' ? trans('now: v%1', retune.champion) : chosen ? one.title : '',
    tip: facts.filter((fact) => fact !== ''),
    kind: state,
    chosen,
    front: one.front,
    x: figures.cpu_s,
    y,
    low: own ? figures.low : null,
    high: own ? figures.high : null,
    size: figures.size_bytes,
  };
}
