// Every candidate of a re-tune as a table: what was measured, what became of it and why, and the way to take it.

import type { Contender, Retune } from '../api/retunes';
import type { Json } from '../api/types';
import {
  agreementText,
  championOf,
  familyText,
  intervalOf,
  measureName,
  measureOf,
  measureText,
  ratioText,
  stateMark,
  valueOf,
} from './contender';
import { freshId, h, tableHead } from './dom';
import { durationText, sizeText, UNKNOWN } from './format';
import { metricText } from './measure';
import { button, link, type Context } from './part';
import { layoutText, takeDialog } from './take';

const ORDER = ['champion', 'passed', 'fell', 'failed', 'measuring', 'making', 'waiting', 'skipped'];
const COLUMNS = 7;

export interface Drawn {
  node: HTMLElement;
  /** What changes something, and can be pressed only where that can be. */
  changing: HTMLButtonElement[];
}

/** `open` has the ids of those whose checks are unfolded. */
export function candidatesTable(
  retune: Retune,
  open: ReadonlySet<string>,
  unfold: (id: string) => void,
  context: Context,
): Drawn {
  const { trans } = context;
  const measure = measureOf(retune);
  const metric = retune.contenders.find((one) => one.figures.metric !== '')?.figures.metric ?? '';
  const changing: HTMLButtonElement[] = [];
  const head = [
    trans('candidate'),
    measure === null ? trans('how right') : measureName(measure, metric, trans),
    trans('CPU a request'),
    'p95',
    trans('size'),
    trans('outcome, and why'),
    trans('take'),
  ];
  const rows = sorted(retune).flatMap((one) => row(one, retune, open, unfold, changing, context));
  const label = trans('Candidates');
  const node = h(
    'div',
    { class: 'adm-scroll', attrs: { tabindex: 0, role: 'region', 'aria-label': label } },
    h(
      'table',
      { class: 'adm-table adm-candidates' },
      h('caption', { class: 'adm-spoken', text: label }),
      tableHead(head),
      h('tbody', {}, ...rows),
    ),
  );
  return { node, changing };
}

/** What serves first, then the choice, then the others by what became of them. */
function sorted(retune: Retune): Contender[] {
  const rank = (one: Contender): number =>
    one.state !== 'champion' && one.id === retune.chosen ? 0.5 : ORDER.indexOf(one.state);
  return [...retune.contenders].sort((a, b) => rank(a) - rank(b));
}

function row(
  one: Contender,
  retune: Retune,
  open: ReadonlySet<string>,
  unfold: (id: string) => void,
  changing: HTMLButtonElement[],
  context: Context,
): HTMLElement[] {
  const { trans } = context;
  const { figures, state } = one;
  const champion = state === 'champion';
  const { sign, tone, word } = stateMark(one, trans);
  const shown = open.has(one.id);
  const id = freshId('checks');
  const facts = factsOf(one, context);
  const more = link(trans('checks'), () => unfold(one.id), trans('Checks of %1', one.title));
  more.setAttribute('aria-expanded', String(shown));
  if (shown) more.setAttribute('aria-controls', id);
  const chosen = one.id === retune.chosen && retune.state === 'done';
  const tags = [
    chosen ? h('span', { class: 'adm-tag adm-ok', text: trans('the choice') }) : null,
    one.id === retune.promoted && !retune.undone
      ? h('span', { class: 'adm-tag adm-ok', text: trans('taken') })
      : null,
  ];
  const take = takeButton(one, retune, context);
  if (take !== null) changing.push(take);
  const line = h(
    'tr',
    { class: chosen ? 'adm-choice-row' : '', attrs: { 'data-contender': one.id } },
    h(
      'th',
      { attrs: { scope: 'row' } },
      h('span', { class: 'adm-candidate', text: one.title }),
      ' ',
      h('span', { class: 'adm-mut adm-family', text: champion ? trans('now') : familyText(one, trans) }),
    ),
    rightCell(one, retune, context),
    figureCell(durationText(figures.cpu_s), ratio(one, retune, 'cpu_s', context)),
    figureCell(durationText(figures.p95_s), ratio(one, retune, 'p95_s', context)),
    figureCell(sizeText(figures.size_bytes), ratio(one, retune, 'size_bytes', context)),
    h(
      'td',
      { class: 'adm-why' },
      h('span', { class: `adm-${tone}`, text: `${sign} ${word}` }),
      ...tags.flatMap((tag) => (tag === null ? [] : [' ', tag])),
      one.reason === '' ? null : ` ${one.reason}`,
      facts.length > 0 ? ' ' : null,
      facts.length > 0 ? more : null,
    ),
    h('td', { class: 'adm-num' }, take),
  );
  if (!shown || facts.length === 0) return [line];
  return [
    line,
    h('tr', { class: 'adm-checks', attrs: { id } }, h('td', { attrs: { colspan: COLUMNS } }, ...facts)),
  ];
}

function takeButton(one: Contender, retune: Retune, context: Context): HTMLButtonElement | null {
  const taken = one.id === retune.promoted && !retune.undone;
  if (one.state !== 'passed' || retune.state === 'running' || taken) return null;
  const { trans } = context;
  const node = button(trans('Take it…'), () => takeDialog(retune, one, context), { class: 'adm-small' });
  node.setAttribute('aria-label', trans('Take %1…', one.title));
  node.setAttribute('aria-haspopup', 'dialog');
  return node;
}

function rightCell(one: Contender, retune: Retune, { trans }: Context): HTMLElement {
  const { figures } = one;
  const measure = measureOf(retune);
  const value = measure === null ? null : valueOf(figures, measure);
  if (measure === null || value === null) {
    // Where there are labels, one that gives the same answers needs none.
    const alike = figures.agreement ?? figures.cosine;
    if (measure === 'metric' && alike !== null)
      return figureCell(
        figures.agreement === null ? alike.toFixed(3) : agreementText(alike),
        figures.agreement === null ? trans('cosine') : trans('like now'),
      );
    return h('td', { class: 'adm-num', text: UNKNOWN });
  }
  const text = measureText(measure, figures.metric, value);
  const { low, high, metric } = figures;
  if (measure !== 'metric' || low === null || high === null) return figureCell(text, '');
  const half = (high - low) / 2;
  const cell = figureCell(text, `± ${metricText(metric, half)}`);
  cell.title = trans('95 % interval %1, %2 labels', intervalOf(figures), figures.labelled);
  return cell;
}

function ratio(
  one: Contender,
  retune: Retune,
  of: 'cpu_s' | 'p95_s' | 'size_bytes',
  { trans }: Context,
): string {
  const champion = championOf(retune);
  return one === champion ? '' : ratioText(one.figures[of], champion?.figures[of] ?? null, trans);
}

function figureCell(value: string, beside: string): HTMLElement {
  const known = beside !== '' && value !== UNKNOWN;
  return h(
    'td',
    { class: 'adm-num' },
    value,
    known ? h('span', { class: 'adm-mut adm-beside', text: ` ${beside}` }) : null,
  );
}

/** What is behind a candidate: each check of the gate, and how it was made. */
function factsOf(one: Contender, context: Context): HTMLElement[] {
  const { trans } = context;
  const checks = one.checks.map((check) =>
    h(
      'li',
      {},
      h('span', {
        class: check.passed ? 'adm-ok' : 'adm-bad',
        text: check.passed ? '✓' : '✗',
        attrs: { role: 'img', 'aria-label': check.passed ? trans('passed') : trans('fell') },
      }),
      ` ${check.text}`,
    ),
  );
  const settings = Object.entries(one.settings).map(([name, value]) => `${name} ${jsonOf(value)}`);
  const { figures } = one;
  const others = Object.entries(figures.metrics).map(([name, value]) => `${name} ${metricText(name, value)}`);
  const facts: [string, string][] = [
    [trans('note'), one.note],
    [trans('other figures'), others.join(', ')],
    [trans('alone, one row'), figures.one_row_s === null ? '' : durationText(figures.one_row_s)],
    [trans('memory'), figures.memory_bytes === null ? '' : sizeText(figures.memory_bytes)],
    [trans('run as'), layoutText(one, context)],
    [trans('made with'), one.layout === null ? settings.join(', ') : ''],
    [trans('took'), one.seconds > 0 ? durationText(one.seconds) : ''],
  ];
  const told = facts.filter(([, text]) => text !== '');
  if (checks.length === 0 && told.length === 0) return [];
  return [
    ...(checks.length > 0 ? [h('ul', { class: 'adm-check-list' }, ...checks)] : []),
    h('p', { class: 'adm-mut' }, told.map(([name, text]) => `${name}: ${text}`).join(' · ')),
  ];
}

function jsonOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
