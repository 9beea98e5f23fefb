// What may be true of a row: a button for each class that is known, and a field for any other value.

import type { Json } from '../api/types';
import { h, setHidden } from './dom';
import { button, disable, link, type Context } from './part';

export class Truth {
  readonly node: HTMLElement;
  private readonly classes: string[] = [];
  private readonly buttons = h('span', { class: 'adm-row' });
  private readonly field: HTMLInputElement;
  private readonly enter: HTMLButtonElement;
  private readonly free: HTMLElement;
  private readonly other: HTMLButtonElement;
  private like: Json = null;
  private reason = '';

  constructor(
    private readonly context: Pick<Context, 'trans'>,
    private readonly label: (value: Json) => void,
  ) {
    const { trans } = context;
    this.field = h('input', {
      class: 'adm-input',
      attrs: { type: 'text', autocomplete: 'off', 'aria-label': trans('True value') },
      on: {
        keydown: (event) => {
          if ((event as KeyboardEvent).key === 'Enter') this.take();
        },
        input: () => this.look(),
      },
    });
    this.enter = button(trans('Label'), () => this.take(), { class: 'adm-primary' });
    this.free = h('span', { class: 'adm-row' }, this.field, this.enter);
    this.other = link(trans('Another…'), () => {
      setHidden(this.free, false);
      setHidden(this.other, true);
      this.field.focus();
    });
    this.node = h(
      'div',
      { class: 'adm-row adm-classes', attrs: { role: 'group', 'aria-label': trans('What is true') } },
      this.buttons,
      this.other,
      this.free,
    );
  }

  /** Offer these classes; none: any value, and a number where the answers are `numbers`. */
  offer(classes: readonly string[], numbers: boolean): void {
    const fresh = classes.filter((name) => !this.classes.includes(name));
    this.classes.push(...fresh);
    for (const name of fresh) this.buttons.append(this.choice(name));
    const known = this.classes.length > 0;
    this.field.type = numbers && !known ? 'number' : 'text';
    if (this.field.type === 'number') this.field.step = 'any';
    setHidden(this.buttons, !known);
    setHidden(this.other, !known);
    setHidden(this.free, known);
    this.look();
  }

  /** Offer a class that was typed from now on. */
  learn(value: Json): void {
    if (this.classes.length > 0)
      this.offer([typeof value === 'string' ? value : JSON.stringify(value)], false);
  }

  /** The row that it is about: what was answered, and the label that it has; undefined for none. */
  show(answered: Json, label: Json | undefined): void {
    this.like = answered;
    for (const node of this.buttons.querySelectorAll('button')) {
      const chosen =
        label !== undefined &&
        node.textContent === (typeof label === 'string' ? label : JSON.stringify(label));
      node.classList.toggle('adm-chosen', chosen);
    }
  }

  /** Label with the nth class; whether there is one. */
  press(nth: number): boolean {
    const name = this.classes[nth];
    if (name === undefined) return false;
    this.label(this.typed(name));
    return true;
  }

  disable(reason: string): void {
    this.reason = reason;
    this.look();
  }

  /** Be ready for the next row. A button that was pressed keeps the keyboard: the next may have the same label. */
  ready(): void {
    this.field.value = '';
    const known = this.classes.length > 0;
    setHidden(this.free, known);
    setHidden(this.other, !known);
    this.look();
    const at = document.activeElement;
    if (at instanceof HTMLElement && this.buttons.contains(at)) return;
    (known ? this.buttons.querySelector('button') : this.field)?.focus({ preventScroll: true });
  }

  private choice(name: string): HTMLButtonElement {
    const node = button(name, () => this.label(this.typed(name)));
    const nth = this.classes.indexOf(name) + 1;
    if (nth <= 9) {
      node.dataset['key'] = String(nth);
      node.setAttribute('aria-keyshortcuts', String(nth));
    }
    return node;
  }

  private look(): void {
    const { trans } = this.context;
    const empty = this.field.value.trim() === '' || !this.field.checkValidity();
    for (const node of this.buttons.querySelectorAll('button')) disable(node, this.reason);
    disable(this.enter, this.reason || (empty ? trans('Type the true value first') : ''));
  }

  private take(): void {
    const value = this.field.value.trim();
    if (value === '' || !this.field.checkValidity() || this.reason !== '') return;
    this.label(this.field.type === 'number' ? Number(value) : this.typed(value));
  }

  /** A class as the model answers it: classes are told as text. */
  private typed(name: string): Json {
    const { like } = this;
    if (typeof like === 'number' && name.trim() !== '' && !Number.isNaN(Number(name))) return Number(name);
    if (typeof like === 'boolean' && /^(true|false)$/i.test(name)) return name.toLowerCase() === 'true';
    return name;
  }
}
