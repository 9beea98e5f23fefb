// Ship: the files that another place needs to serve the version that serves here, from a form of the place's options.

import { DeployError } from '../api/transport';
import type { Offer, OfferedOption, OfferedTarget, Shipment, Shipped } from '../api/types';
import { freshId, h, setAttr, setHidden, setText } from './dom';
import type { Notice } from './model';
import { button, type Context, disable, errorText } from './part';

/** What was typed, by target and by field: a dialog that is opened again has it still. */
export class Drafts {
  /** The place that was looked at last. */
  target = '';
  private version = 0;
  private readonly typed = new Map<string, Map<string, string>>();

  /** They are about that version now: an image that was named is of another one. */
  turn(version: number): void {
    if (version !== this.version) for (const typed of this.typed.values()) typed.delete(IMAGE);
    this.version = version;
  }

  of(target: string): Map<string, string> {
    const found = this.typed.get(target) ?? new Map<string, string>();
    this.typed.set(target, found);
    return found;
  }
}

/** Names of fields that are no option of a target: options have none with a space. */
const FOLDER = 'the folder';
const IMAGE = 'the image';

export function shipDialog(context: Context, drafts: Drafts): void {
  const { model, trans, dialogs } = context;
  const version = model.glance?.status.version ?? 0;
  const form = new ShipForm(context, drafts, () => opened.close());
  const opened = dialogs.open(trans('Ship v%1', version), form.node, [
    button(trans('Cancel'), () => opened.close()),
    form.send,
  ]);
  const following = model.subscribe(() => {
    if (form.node.isConnected) form.look();
    else following.dispose();
  });
  void form.load();
}

type Input = HTMLInputElement | HTMLSelectElement;

class ShipForm {
  readonly node: HTMLElement;
  readonly send: HTMLButtonElement;
  private readonly said: HTMLElement;
  private readonly place: HTMLSelectElement;
  private readonly about: HTMLElement;
  private readonly fields = h('div');
  private readonly replace = h('input', { attrs: { type: 'checkbox', id: freshId('replace') } });
  private readonly wrong = h('p', { class: 'adm-bad adm-wrong', hidden: true, attrs: { role: 'alert' } });
  private readonly form: HTMLElement;
  /** The inputs of the target that is chosen, by the names of their fields. */
  private inputs = new Map<string, Input>();
  private offer: Offer | null = null;
  private busy = false;

  constructor(
    private readonly context: Context,
    private readonly drafts: Drafts,
    private readonly close: () => void,
  ) {
    const { trans } = context;
    this.send = button(trans('Write the files'), () => void this.ship(), { class: 'adm-primary' });
    this.said = h('p', {
      class: 'adm-mut',
      text: trans('Asking where it can go…'),
      attrs: { 'aria-live': 'polite' },
    });
    const about = freshId('about');
    this.about = h('span', { class: 'adm-mut adm-help', attrs: { id: about, 'aria-live': 'polite' } });
    this.place = h('select', {
      class: 'adm-button adm-select',
      attrs: { id: freshId('place'), 'aria-describedby': about },
      on: { change: () => this.choose(this.place.value) },
    });
    this.form = h(
      'div',
      { class: 'adm-ship', hidden: true },
      h(
        'div',
        { class: 'adm-field adm-long' },
        h('label', { text: trans('Where to'), attrs: { for: this.place.id } }),
        this.place,
        this.about,
      ),
      this.fields,
    );
    this.node = h(
      'div',
      { class: 'adm-ship' },
      h('p', {
        class: 'adm-mut',
        text: trans(
          'Writes what another place needs to serve this version, with a README that says what to run there. No credential is asked for.',
        ),
      }),
      this.said,
      this.form,
      this.wrong,
    );
    this.look();
  }

  /** Ask what there is to choose from, and show it. */
  async load(): Promise<void> {
    const { model, trans } = this.context;
    try {
      this.offer = await model.call<Offer>('GET', '/targets');
    } catch (thrown) {
      this.tell(thrown);
      setHidden(this.said, true);
      return;
    }
    if (!this.node.isConnected) return;
    const { targets, broken, version } = this.offer;
    this.drafts.turn(version);
    this.place.replaceChildren(
      ...targets.map(({ name }) => h('option', { text: name, attrs: { value: name } })),
    );
    setText(this.said, broken.map((reason) => trans('Cannot be used: %1', reason)).join('\n'));
    setHidden(this.said, broken.length === 0);
    setHidden(this.form, false);
    const before = targets.find(({ name }) => name === this.drafts.target) ?? targets[0];
    if (before === undefined) return;
    this.choose(before.name);
    this.place.focus({ preventScroll: true });
  }

  /** Say whether it can begin. */
  look(): void {
    disable(this.send, this.refusal());
    const { pending } = this.context.model;
    // What is refused is refused before the first step: from then on it is shown as every other job is.
    if (this.busy && pending?.kind === 'ship' && pending.steps.size > 0) this.close();
  }

  private get target(): OfferedTarget | undefined {
    return this.offer?.targets.find(({ name }) => name === this.place.value);
  }

  /** Why it cannot begin; "" where it can. */
  private refusal(): string {
    const { model, trans } = this.context;
    const { target } = this;
    if (this.busy) return trans('Under way');
    if (target === undefined) return trans('It is not known yet where it can go');
    if (!model.able)
      return model.pending === null
        ? trans('Nothing can be changed now')
        : trans('Wait for: %1', model.pending.title);
    if (target.image === 'needed' && this.value(IMAGE) === '' && this.offer?.image === '')
      return trans('An image is needed');
    const missing = target.options.find((option) => option.required && this.value(option.name) === '');
    return missing === undefined ? '' : trans('%1 has to be given', missing.name);
  }

  /** Show the form of a target, with what was typed there before. */
  private choose(name: string): void {
    const { trans } = this.context;
    this.place.value = name;
    this.drafts.target = name;
    const { target } = this;
    if (target === undefined) return;
    this.inputs = new Map();
    this.replace.checked = false;
    setHidden(this.wrong, true);
    setText(this.about, target.about);
    setText(this.send, target.at_once ? trans('Ship it') : trans('Write the files'));
    const required = target.options.filter((option) => option.required);
    const others = target.options.filter((option) => !option.required);
    this.fields.replaceChildren(
      h(
        'div',
        { class: 'adm-fields' },
        ...required.map((option) => this.option(option)),
        target.image === 'none' ? null : this.image(target),
        this.folder(target),
      ),
      ...(others.length === 0 ? [] : [this.options(others)]),
    );
    this.look();
  }

  private options(options: readonly OfferedOption[]): HTMLElement {
    const { trans } = this.context;
    const node = h(
      'details',
      {},
      h('summary', { text: trans('Options (%1): each has a value where you give none', options.length) }),
      h('div', { class: 'adm-fields' }, ...options.map((option) => this.option(option))),
    );
    node.open = options.some((option) => this.changed(option) !== null);
    return node;
  }

  private image(target: OfferedTarget): HTMLElement {
    const { trans } = this.context;
    const built = this.offer?.image ?? '';
    const input = this.text(IMAGE, '', built);
    const missing = trans(
      'none was built of this version: Containerize builds one, or name one that is in a registry',
    );
    const help = built !== '' ? trans('the one that was built last, or one that is in a registry') : missing;
    return this.row(input, trans('Image'), help, true, target.image === 'needed');
  }

  private folder(target: OfferedTarget): HTMLElement {
    const { trans } = this.context;
    const input = this.text(FOLDER, target.at_once ? '' : this.usual(target));
    const help = target.at_once
      ? trans('on the machine that serves, for a record of what was declared; empty: none is kept')
      : trans('on the machine that serves; it must not be there yet, or be empty');
    const row = this.row(input, trans('Folder'), help, true);
    row.append(
      h(
        'label',
        { class: 'adm-row adm-check adm-help' },
        this.replace,
        trans('Replace what was shipped there before; never what somebody changed since'),
      ),
    );
    return row;
  }

  /** Where a target's files go where nobody says otherwise: beside what the page shows. */
  private usual(target: OfferedTarget): string {
    const { model } = this.context;
    const root = model.store.transport.root ?? '';
    return `${root === '' ? '~' : root}/${model.name}-${target.name}`;
  }

  private option(option: OfferedOption): HTMLElement {
    const { name, help, kind, choices } = option;
    if (choices.length > 0)
      return this.row(this.select(option), h('code', { text: name }), help, false, option.required);
    if (kind === 'yes_no') return this.row(this.check(option), h('code', { text: name }), help);
    const input = this.text(name, option.default);
    if (kind !== 'text') input.inputMode = kind === 'whole' ? 'numeric' : 'decimal';
    return this.row(input, h('code', { text: name }), help);
  }

  /** A line to type in; `usual` is what holds where it stays empty, `first` what stands in it at first. */
  private text(name: string, usual: string, first = ''): HTMLInputElement {
    const input = h('input', {
      class: 'adm-input',
      attrs: {
        type: 'text',
        id: freshId('ship'),
        placeholder: usual,
        spellcheck: 'false',
        autocomplete: 'off',
      },
      on: {
        input: () => this.keep(name, input.value),
        keydown: (event) => {
          if ((event as KeyboardEvent).key === 'Enter') this.send.click();
        },
      },
    });
    input.value = this.draft.get(name) ?? first;
    this.inputs.set(name, input);
    return input;
  }

  private select(option: OfferedOption): HTMLSelectElement {
    const { trans } = this.context;
    const words = option.required ? ['', ...option.choices] : option.choices;
    const empty = option.required ? trans('choose…') : trans('as usual');
    const input = h(
      'select',
      {
        class: 'adm-button adm-select',
        attrs: { id: freshId('ship') },
        on: { change: () => this.keep(option.name, input.value) },
      },
      ...words.map((word) => h('option', { text: word === '' ? empty : word, attrs: { value: word } })),
    );
    input.value = this.draft.get(option.name) ?? option.default;
    this.inputs.set(option.name, input);
    return input;
  }

  private check(option: OfferedOption): HTMLInputElement {
    const input = h('input', {
      attrs: { type: 'checkbox', id: freshId('ship') },
      on: { change: () => this.keep(option.name, input.checked ? 'yes' : 'no') },
    });
    input.checked = (this.draft.get(option.name) ?? option.default) === 'yes';
    this.inputs.set(option.name, input);
    return input;
  }

  private row(input: Input, name: Node | string, help: string, long = false, required = false): HTMLElement {
    const { trans } = this.context;
    const id = freshId('help');
    input.setAttribute('aria-describedby', id);
    if (required) input.required = true;
    return h(
      'div',
      { class: long ? 'adm-field adm-long' : 'adm-field' },
      h(
        'label',
        { attrs: { for: input.id } },
        name,
        required ? h('span', { class: 'adm-mut adm-help', text: ` ${trans('required')}` }) : null,
      ),
      h('span', { class: 'adm-row' }, input),
      h('span', { class: 'adm-mut adm-help', text: help, attrs: { id } }),
    );
  }

  private get draft(): Map<string, string> {
    return this.drafts.of(this.place.value);
  }

  private keep(name: string, value: string): void {
    this.draft.set(name, value);
    const input = this.inputs.get(name);
    if (input !== undefined) setAttr(input, 'aria-invalid', null);
    this.look();
  }

  private value(name: string): string {
    const input = this.inputs.get(name);
    return input === undefined ? '' : input.value.trim();
  }

  /** What was typed for an option; null where that is what holds anyway. */
  private changed({ name, default: usual, choices }: OfferedOption): string | null {
    const typed = this.draft.get(name)?.trim() ?? usual;
    return typed === usual || (typed === '' && !choices.includes('')) ? null : typed;
  }

  private order(target: OfferedTarget): Shipment {
    const image = this.value(IMAGE);
    const options: Record<string, string> = {};
    for (const option of target.options) {
      const typed = this.changed(option);
      if (typed !== null) options[option.name] = typed;
    }
    return {
      target: target.name,
      folder: this.value(FOLDER) || (target.at_once ? '' : this.usual(target)),
      image: image === this.offer?.image ? '' : image,
      options,
      replace: this.replace.checked,
    };
  }

  private async ship(): Promise<void> {
    const { model, trans } = this.context;
    const { target } = this;
    if (target === undefined) return;
    const order = this.order(target);
    this.busy = true;
    setHidden(this.wrong, true);
    for (const input of this.inputs.values()) setAttr(input, 'aria-invalid', null);
    const done = await model.act<Shipped>(
      'ship',
      trans('Ship to %1', target.name),
      order,
      (shipped) => shippedText(this.context, shipped),
      '/ship',
      (thrown) => {
        if (this.node.isConnected) this.tell(thrown);
        else model.fail(thrown);
      },
    );
    this.busy = false;
    if (done !== null) this.close();
    else this.look();
  }

  /** Say what went wrong, below the field that it is about: that is marked, and has the keyboard. */
  private tell(thrown: unknown): void {
    const { what } = DeployError.of(thrown);
    const words = new Set(what.split(/\W+/));
    const [about] = [...this.inputs].filter(
      ([name]) => words.has(name) || (name.includes(' ') && what.includes(this.spoken(name))),
    );
    const input = about?.[1];
    const folded = input?.closest('details');
    if (folded) folded.open = true;
    const row = input?.closest('.adm-field');
    if (row) row.after(this.wrong);
    else this.node.append(this.wrong);
    setText(this.wrong, errorText(thrown));
    setHidden(this.wrong, false);
    if (typeof this.wrong.scrollIntoView === 'function') this.wrong.scrollIntoView({ block: 'nearest' });
    if (input === undefined) return;
    input.setAttribute('aria-invalid', 'true');
    input.focus();
  }

  /** How an error speaks of what stands in a field. */
  private spoken(name: string): string {
    const input = this.inputs.get(name);
    const shown = this.value(name) || (input instanceof HTMLInputElement ? input.placeholder : '');
    return shown === '' ? '\n' : shown.replace(/^~/, '');
  }
}

/** Where the files are and what to read first; of a place that serves at once, where it answers. */
function shippedText({ trans }: Context, shipped: Shipped): Partial<Notice> {
  const { target, version, folder, files, notes, url } = shipped;
  const why = notes.join('; ');
  if (folder === '' && url === '') return { what: `${target}: ${why}`, keep: true };
  if (folder === '') return { what: trans('v%1 serves from %2 now', version, target), why, code: url };
  const count = trans(
    'v%1 for %2 is written: %3 files on the machine that serves.',
    version,
    target,
    files.length,
  );
  const readmes = files.filter((file) => /(^|\/)README\.md$/.test(file));
  const [readme] = readmes.sort((one, other) => one.split('/').length - other.split('/').length);
  const first = readme === undefined ? '' : trans('Read %1 first: it says what to run there.', readme);
  return { what: [count, first].filter((part) => part !== '').join(' '), why, code: folder };
}
