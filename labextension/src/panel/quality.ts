// How right it answers: the leading figure for a tile, and everything behind it in a dialog.

import type { Confusion, Figure, Quality } from '../api/types';
import { h, tableHead } from './dom';
import { countText, UNKNOWN } from './format';
import { labelDialog } from './label';
import { intervalText, metricName, metricText } from './measure';
import { button, type Context } from './part';

/** Which figure leads, where the supervisor has not said it. */
const LEADING = ['f1', 'accuracy', 'r2', 'mae', 'rmse'];

export interface Leading {
  value: string;
  label: string;
  estimated: boolean;
}

/** The figure for the tile; null where nothing is known of it at all. */
export function leading(context: Pick<Context, 'model' | 'trans'>): Leading | null {
  const { model, trans } = context;
  const glance = model.glance;
  const quality = model.health.now?.quality ?? null;
  const said = glance?.quality ?? '';
  const figure = lead(quality?.figures ?? [], said);
  if (quality !== null && figure !== null) {
    const name = metricName(figure.metric, trans);
    return {
      value: metricText(figure.metric, figure.value),
      label: trans('%1, %2 labels', name, countText(quality.labels)),
      estimated: false,
    };
  }
  const guess = lead(quality?.estimated ?? [], '');
  if (quality !== null && guess !== null)
    return {
      value: `≈ ${metricText(guess.metric, guess.value)}`,
      label:
        quality.labels > 0
          ? trans('%1 expected, %2 labels', metricName(guess.metric, trans), countText(quality.labels))
          : trans('%1 expected, no labels yet', metricName(guess.metric, trans)),
      estimated: true,
    };
  // Before the health is read, the glance has it in words: "F1 0.931, 412 labels".
  const words = /^(.+?) ([≈\d.-]+), (.+)$/.exec(said);
  if (words !== null)
    return {
      value: words[2] ?? UNKNOWN,
      label: `${words[1] ?? ''}, ${words[3] ?? ''}`,
      estimated: said.includes('≈'),
    };
  return glance === null || glance.task === ''
    ? null
    : { value: UNKNOWN, label: trans('quality, no labels'), estimated: false };
}

function lead(figures: readonly Figure[], said: string): Figure | null {
  const named = figures.find((figure) => said.toLowerCase().startsWith(figure.metric.toLowerCase()));
  const usual = LEADING.map((metric) => figures.find((figure) => figure.metric === metric));
  return named ?? usual.find((figure) => figure !== undefined) ?? figures[0] ?? null;
}

export function qualityDialog(context: Context): void {
  const { model, trans, dialogs } = context;
  const body = h('div', { class: 'adm-quality' });
  let drawn = '';
  const draw = (): void => {
    const quality = model.health.now?.quality ?? null;
    const key = JSON.stringify(quality);
    if (key === drawn) return;
    drawn = key;
    body.replaceChildren(...content(quality, context));
  };
  draw();
  const opened = dialogs.open(trans('Quality of %1', model.name), body, [
    button(trans('Close'), () => opened.close()),
    button(trans('Label…'), () => labelDialog(context), { class: 'adm-primary' }),
  ]);
  const following = model.subscribe(() => {
    if (body.isConnected) draw();
    else following.dispose();
  });
}

function content(quality: Quality | null, context: Context): HTMLElement[] {
  const { trans } = context;
  const none = h('p', {
    text: trans(
      'No label has come yet. Press Label to judge a few recent answers here, or send the true answers as they become known: POST /feedback with the id of the answer, or `dep.feedback(ids, labels)`.',
    ),
  });
  if (quality === null) return [none];
  const parts: HTMLElement[] = [];
  if (quality.labels === 0) parts.push(none);
  else parts.push(h('p', { class: 'adm-mut', text: factsText(quality, context) }));
  if (quality.figures.length > 0 || quality.estimated.length > 0) parts.push(figuresTable(quality, context));
  if (quality.estimated.length > 0)
    parts.push(
      h('p', {
        class: 'adm-mut adm-help',
        text: trans(
          '≈ is an estimate without labels: what the model’s own confidence lets expect. A model that is wrong about itself, as after a change of its data, is wrong here too.',
        ),
      }),
    );
  if (quality.versions.length > 1) parts.push(versionsTable(quality, context));
  if (quality.confusion !== null) parts.push(confusionTable(quality.confusion, context));
  if (quality.slices.length > 0) parts.push(slicesTable(quality, context));
  return parts;
}

function factsText(quality: Quality, { trans }: Context): string {
  const parts = [
    trans('%1 of %2 recorded rows are labelled', countText(quality.labels), countText(quality.answered)),
  ];
  if (quality.window > 0 && quality.labels > quality.window)
    parts.push(trans('the figures are over the newest %1', countText(quality.window)));
  if (quality.late > 0) parts.push(trans('%1 labels came late', countText(quality.late)));
  if (quality.changed > 0) parts.push(trans('%1 replaced another', countText(quality.changed)));
  if (quality.unmatched > 0)
    parts.push(trans('%1 belong to no answer that is kept', countText(quality.unmatched)));
  return `${parts.join('; ')}.`;
}

function figuresTable(quality: Quality, { trans }: Context): HTMLElement {
  const row = (figure: Figure): HTMLElement =>
    h(
      'tr',
      figure.estimated ? { class: 'adm-estimate' } : {},
      h('th', { attrs: { scope: 'row' }, text: metricName(figure.metric, trans) }),
      h('td', {
        class: 'adm-num',
        text: `${figure.estimated ? '≈ ' : ''}${metricText(figure.metric, figure.value)}`,
      }),
      h('td', { class: 'adm-num', text: intervalText(figure) || UNKNOWN }),
      h('td', {
        class: 'adm-num',
        text: figure.estimated ? trans('estimate') : countText(figure.labels || quality.labels),
      }),
    );
  return table(
    trans('Figures'),
    [trans('figure'), trans('value'), trans('95 % interval'), trans('labels')],
    [...quality.figures.map(row), ...quality.estimated.map((figure) => row({ ...figure, estimated: true }))],
  );
}

function versionsTable(quality: Quality, { trans }: Context): HTMLElement {
  const metrics = [...new Set(quality.versions.flatMap((one) => one.figures.map((figure) => figure.metric)))];
  return table(
    trans('By version'),
    [trans('version'), ...metrics.map((metric) => metricName(metric, trans)), trans('labels')],
    quality.versions.map((one) =>
      h(
        'tr',
        {},
        h('th', { attrs: { scope: 'row' }, text: `v${one.version}` }),
        ...metrics.map((metric) => valueCell(one.figures, metric)),
        h('td', { class: 'adm-num', text: countText(one.labels) }),
      ),
    ),
  );
}

function slicesTable(quality: Quality, { trans }: Context): HTMLElement {
  const metrics = [...new Set(quality.slices.flatMap((one) => one.figures.map((figure) => figure.metric)))];
  return table(
    trans('Where it is worst'),
    [trans('rows with'), ...metrics.map((metric) => metricName(metric, trans)), trans('labels')],
    quality.slices.map((one) =>
      h(
        'tr',
        {},
        h('th', { attrs: { scope: 'row' } }, h('code', { text: one.column }), ` ${one.value}`),
        ...metrics.map((metric) => valueCell(one.figures, metric)),
        h('td', { class: 'adm-num', text: countText(one.labels) }),
      ),
    ),
  );
}

function valueCell(figures: readonly Figure[], metric: string): HTMLElement {
  const figure = figures.find((one) => one.metric === metric);
  const interval = figure === undefined ? '' : intervalText(figure);
  return h('td', {
    class: 'adm-num',
    text: figure === undefined ? UNKNOWN : metricText(metric, figure.value),
    ...(interval === '' ? {} : { title: interval }),
  });
}

function confusionTable({ classes, counts }: Confusion, { trans }: Context): HTMLElement {
  const rows = classes.map((name, i) => {
    const total = (counts[i] ?? []).reduce((sum, count) => sum + count, 0);
    return h(
      'tr',
      {},
      h('th', { attrs: { scope: 'row' }, text: name }),
      ...classes.map((_, j) => {
        const count = counts[i]?.[j] ?? 0;
        const share = total === 0 ? 0 : Math.round((100 * count) / total);
        const cell = h('td', {
          class: `adm-num ${i === j ? 'adm-right' : count > 0 ? 'adm-miss' : 'adm-mut'}`,
          text: countText(count),
          title: trans('%1 % of what is %2', share, name),
        });
        // A few wrong ones are to be seen too.
        cell.style.setProperty('--adm-share', `${i === j ? share : Math.min(100, 25 + share)}%`);
        return cell;
      }),
    );
  });
  const found = table(
    trans('Confusion: true class by row, answer by column'),
    [trans('true'), ...classes],
    rows,
  );
  found.classList.add('adm-confusion');
  return found;
}

function table(caption: string, head: readonly string[], rows: readonly HTMLElement[]): HTMLElement {
  return h(
    'div',
    { class: 'adm-scroll', attrs: { tabindex: 0, role: 'region', 'aria-label': caption } },
    h(
      'table',
      { class: 'adm-table adm-brief' },
      h('caption', { class: 'adm-strong', text: caption }),
      tableHead(head),
      h('tbody', {}, ...rows),
    ),
  );
}
