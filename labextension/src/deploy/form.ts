// What one-click deploy asks: which model, which rows as its sample, and under which name.

import type { Trans } from '../api/transport';
import { freshId, h } from '../panel/dom';
import { deployCell, type Choice } from './cell';
import { shapeText, type Found } from './found';
import { nameProblem } from './name';

export interface FormOptions {
  found: Found;
  /** The name that is proposed; "" for none. */
  name: string;
  trans: Trans;
  onChange?(valid: boolean): void;
}

export class DeployForm {
  readonly node: HTMLElement;
  private readonly model: HTMLSelectElement;
  private readonly sample: HTMLSelectElement;
  private readonly name: HTMLInputElement;
  private readonly workers: HTMLInputElement;
  private readonly said: HTMLElement;
  private readonly preview: HTMLElement;

  constructor(private readonly options: FormOptions) {
    const { found, trans } = options;
    const id = freshId('deploy');
    this.model = h('select', {}, ...found.models.map((one) => option(one.name, one.type, one.chosen)));
    const samples = found.samples.map((one) =>
      option(one.name, `${one.type}, ${shapeText(one.shape)}`, false),
    );
    const none = h(
      'option',
      { attrs: { value: '' } },
      trans('none: only where the model knows its inputs by itself'),
    );
    this.sample = h('select', {}, ...samples, none);
    this.name = h('input', {
      attrs: { type: 'text', spellcheck: 'false', autocomplete: 'off', maxlength: '60' },
    });
    this.name.value = options.name;
    this.workers = h('input', { attrs: { type: 'number', min: '1', max: '256', step: '1' } });
    this.workers.placeholder = trans('as it is set');
    this.said = h('p', { class: 'adm-Form-said', attrs: { id: `${id}-said`, role: 'status' } });
    this.preview = h('pre', { class: 'adm-Form-cell' });
    this.name.setAttribute('aria-describedby', this.said.id);
    this.node = h(
      'div',
      { class: 'adm-theme adm-Form' },
      field(
        `${id}-model`,
        trans('Model'),
        this.model,
        trans('a fitted model in the memory of this notebook'),
      ),
      field(`${id}-sample`, trans('Sample'), this.sample, trans('rows like those that requests will send')),
      field(`${id}-name`, trans('Name'), this.name),
      this.said,
      field(`${id}-workers`, trans('Workers'), this.workers, trans('processes that answer')),
      h('p', { class: 'adm-Form-note' }, trans('This cell is put below the active one, and run:')),
      this.preview,
    );
    for (const control of [this.model, this.sample, this.name, this.workers])
      control.addEventListener('input', this.show);
    this.model.addEventListener('change', () => {
      this.fit();
      this.show();
    });
    this.fit();
    this.show();
  }

  /** What was chosen; null while something is wrong with it. */
  get choice(): Choice | null {
    const { trans } = this.options;
    const workers = this.workers.value.trim();
    const wanted = workers === '' ? null : Number(workers);
    const bad =
      this.workers.validity.badInput || (wanted !== null && !(Number.isInteger(wanted) && wanted >= 1));
    if (bad || nameProblem(this.name.value, trans) !== '' || this.model.value === '') return null;
    return { name: this.name.value, model: this.model.value, sample: this.sample.value, workers: wanted };
  }

  /** Take rows that the model takes. */
  private fit(): void {
    const fitting = this.options.found.samples.filter((one) => one.fits.includes(this.model.value));
    const fits = fitting.some((one) => one.name === this.sample.value);
    if (!fits && fitting[0] !== undefined) this.sample.value = fitting[0].name;
  }

  readonly show = (): void => {
    const { found, trans } = this.options;
    const problem = nameProblem(this.name.value, trans);
    const next = found.names.includes(this.name.value)
      ? trans(
          '%1 is deployed: this makes its next version, and swaps it in without losing a request.',
          this.name.value,
        )
      : trans('A new deployment, with a URL of its own.');
    this.said.textContent = problem === '' ? next : problem;
    this.said.classList.toggle('adm-mod-bad', problem !== '');
    this.name.setAttribute('aria-invalid', String(problem !== ''));
    const choice = this.choice;
    this.preview.textContent = choice === null ? '%%deploy …' : deployCell(choice);
    this.options.onChange?.(choice !== null);
  };
}

function option(name: string, about: string, chosen: boolean): HTMLOptionElement {
  const made = h('option', { attrs: { value: name } }, `${name}  (${about})`);
  made.selected = chosen;
  return made;
}

function field(id: string, label: string, control: HTMLElement, about = ''): HTMLElement {
  control.id = id;
  control.classList.add('adm-Form-control');
  const said = about === '' ? [] : [h('span', { class: 'adm-Form-about' }, ` ${about}`)];
  return h('div', { class: 'adm-Form-field' }, h('label', { attrs: { for: id } }, label, ...said), control);
}
