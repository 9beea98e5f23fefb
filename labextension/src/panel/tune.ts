// Set by hand: what was measured of the formats, and what can be set otherwise while it serves.

import type { Candidate, Knob, Status } from '../api/types';
import { freshId, h, tableHead } from './dom';
import { durationText, sizeText, UNKNOWN } from './format';
import { button, disable, type Context } from './part';
import { formatText } from './words';

interface Field {
  name: string;
  input: HTMLInputElement;
  value: number;
}

/** The form, and the button that applies it; `close` is called before it does. */
export function handForm(
  context: Context,
  close: () => void,
): { node: HTMLElement; apply: HTMLButtonElement } {
  const { model, trans } = context;
  const view = model.view;
  const status = model.glance?.status ?? null;
  const workers = field(trans('workers'), status?.desired_workers ?? 1, 'workers', 1, 1);
  const knobs = (view?.knobs ?? []).map((knob) =>
    field(knob.name, knob.value, knob.name, 0, isWhole(knob) ? 1 : 0),
  );
  const rows = [
    workerRow(workers, view?.cores ?? 0, context),
    ...(view?.knobs ?? []).map((knob, i) => knobRow(knob, knobs[i] ?? workers, context)),
  ];
  const apply = button(trans('Apply'), () => {
    const settings = Object.fromEntries(
      knobs.filter(changed).map((knob) => [knob.name, Number(knob.input.value)]),
    );
    const body = {
      ...(changed(workers) ? { workers: Number(workers.input.value) } : {}),
      ...(Object.keys(settings).length > 0 ? { settings } : {}),
    };
    close();
    void model.act<Status>('tune', trans('Set by hand'), body, () => trans('Serves with the new settings'));
  });
  apply.classList.add('adm-primary');
  const all = [workers, ...knobs];
  const look = (): void => {
    const wrong = all.some((one) => !one.input.checkValidity() || one.input.value.trim() === '');
    const same = all.some(changed) ? '' : trans('Nothing is changed yet');
    disable(apply, wrong ? trans('One of the values cannot be used') : same);
  };
  for (const one of all) one.input.addEventListener('input', look);
  look();
  const node = h(
    'div',
    {},
    formatsTable(view?.candidates ?? [], status, context),
    h('h3', { class: 'adm-subtitle', text: trans('Settings') }),
    h('div', { class: 'adm-fields' }, ...rows),
    h('p', {
      class: 'adm-mut',
      text: trans(
        'Applying starts new workers with these values and swaps them in: no request is lost, and where they do not start, nothing changes.',
      ),
    }),
  );
  return { node, apply };
}

function formatsTable(
  candidates: readonly Candidate[],
  status: Status | null,
  { trans }: Context,
): HTMLElement {
  if (candidates.length === 0 || status === null)
    return h('p', { class: 'adm-mut', text: trans('Nothing was measured when this version was built.') });
  const rows = candidates[0]?.batch_rows ?? 0;
  const head = [
    trans('format'),
    trans('one row'),
    trans('%1 rows', rows),
    trans('equal'),
    trans('largest Δ'),
    trans('size'),
    trans('outcome'),
  ];
  const body = candidates.map((one) => {
    const serves = one.format === status.format;
    const told = serves ? trans('serves') : one.passed ? trans('passed') : one.reason;
    const figures = [
      durationText(one.one_row_s),
      durationText(one.batch_s),
      one.agreement === null ? UNKNOWN : `${(100 * one.agreement).toFixed(one.agreement === 1 ? 0 : 2)} %`,
      one.max_difference === null
        ? UNKNOWN
        : one.max_difference === 0
          ? '0'
          : one.max_difference.toExponential(0),
      sizeText(one.size_bytes),
    ];
    return h(
      'tr',
      {},
      h('th', { attrs: { scope: 'row' } }, `${one.passed ? '✓' : '✗'} ${formatText(one.format)}`),
      ...figures.map((text) => h('td', { class: 'adm-num', text })),
      h('td', { class: one.passed ? '' : 'adm-bad', text: told }),
    );
  });
  return h(
    'div',
    { class: 'adm-scroll', attrs: { tabindex: 0, role: 'region', 'aria-label': trans('Formats') } },
    h(
      'table',
      { class: 'adm-table' },
      h('caption', {
        class: 'adm-mut',
        text: trans('Formats, as measured when v%1 was built: the model alone, median times', status.version),
      }),
      tableHead(head),
      h('tbody', {}, ...body),
    ),
  );
}

function field(label: string, value: number, name: string, min: number, step: number): Field {
  const input = h('input', {
    class: 'adm-input',
    attrs: {
      type: 'number',
      min,
      step: step === 0 ? 'any' : step,
      inputmode: step === 0 ? 'decimal' : 'numeric',
      id: freshId('field'),
      'aria-label': label,
    },
  });
  input.value = String(value);
  return { name, input, value };
}

function workerRow({ input }: Field, cores: number, { trans }: Context): HTMLElement {
  const help =
    cores > 0 ? trans('worker processes; this machine has %1 cores', cores) : trans('worker processes');
  return row(input, 'workers', '', help);
}

function knobRow(knob: Knob, { input }: Field, { trans }: Context): HTMLElement {
  return row(input, knob.name, knob.unit, `${knob.help} (${trans('default %1', knob.default)})`);
}

function row(input: HTMLInputElement, name: string, unit: string, help: string): HTMLElement {
  const id = freshId('help');
  input.setAttribute('aria-describedby', id);
  return h(
    'div',
    { class: 'adm-field' },
    h('label', { attrs: { for: input.id } }, h('code', { text: name })),
    h('span', { class: 'adm-row' }, input, unit === '' ? null : h('span', { class: 'adm-mut', text: unit })),
    h('span', { class: 'adm-mut adm-help', text: help, attrs: { id } }),
  );
}

function isWhole(knob: Knob): boolean {
  return (
    Number.isInteger(knob.default) &&
    Number.isInteger(knob.value) &&
    knob.unit !== 'seconds' &&
    knob.unit !== ''
  );
}

function changed(one: Field): boolean {
  return Number(one.input.value) !== one.value;
}
