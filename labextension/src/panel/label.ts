// Labelling: recent answers that the model was least sure of, one after the other; one press says what is true.

import type { Json, ToLabel, Unlabelled } from '../api/types';
import { h, setHidden, setText } from './dom';
import { momentText, percentText } from './format';
import { button, type Context, disable, errorText } from './part';
import { Truth } from './truth';

const AT_ONCE = 20;
/** A value with more characters, as a picture is, is cut. */
const LONGEST = 160;

interface Given {
  row: Unlabelled;
  label: Json;
  /** What it was before, in this session; undefined: nothing. */
  former: Json | undefined;
}

export function labelDialog(context: Context): void {
  const labelling = new Labelling(context);
  const { trans, dialogs, model } = context;
  const close = button(trans('Done'), () => opened.close());
  const opened = dialogs.open(trans('Label answers of %1', model.name), labelling.node, [
    labelling.undo,
    labelling.skip,
    close,
  ]);
  labelling.node
    .closest('.adm-dialog')
    ?.addEventListener('keydown', (event) => labelling.key(event as KeyboardEvent));
  void labelling.load();
}

/** What one sitting has labelled, and what comes next. */
export class Labelling {
  readonly node: HTMLElement;
  readonly undo: HTMLButtonElement;
  readonly skip: HTMLButtonElement;
  private readonly told = h('p', { class: 'adm-mut', attrs: { 'aria-live': 'polite' } });
  private readonly wrong = h('p', { class: 'adm-bad adm-wrong', hidden: true, attrs: { role: 'alert' } });
  private readonly again: HTMLButtonElement;
  private readonly answered = h('p', { class: 'adm-answered' });
  private readonly columns = h('dl', { class: 'adm-columns', attrs: { tabindex: 0 } });
  private readonly truth: Truth;
  private readonly card: HTMLElement;
  private rows: Unlabelled[] = [];
  private at = 0;
  private readonly given: Given[] = [];
  private readonly labels = new Map<string, Json>();
  private readonly passed = new Set<string>();
  private busy = false;
  private loading = true;

  constructor(private readonly context: Context) {
    const { trans } = context;
    this.columns.setAttribute('aria-label', trans('Columns of the row'));
    this.truth = new Truth(context, (value) => void this.label(value));
    this.undo = button(trans('Undo'), () => void this.takeBack());
    this.skip = button(trans('Skip'), () => this.pass());
    this.again = button(trans('Try again'), () => void this.load());
    this.card = h(
      'div',
      { class: 'adm-card-label', hidden: true },
      this.columns,
      this.answered,
      h('h3', { class: 'adm-subtitle', text: trans('What is true?') }),
      this.truth.node,
    );
    this.node = h('div', { class: 'adm-labelling' }, this.told, this.card, this.wrong, this.again);
    this.draw();
  }

  /** Read the next rows. */
  async load(): Promise<void> {
    this.loading = true;
    this.fail(null);
    this.draw();
    try {
      const found = await this.context.model.call<ToLabel>(
        'GET',
        `/unlabelled?rows=${AT_ONCE + this.passed.size}`,
      );
      this.rows = found.rows.filter((row) => !this.labels.has(idOf(row)) && !this.passed.has(idOf(row)));
      this.at = 0;
      this.loading = false;
      const numbers = this.context.model.glance?.task === 'regression';
      this.truth.offer(found.classes, numbers || typeof this.current?.prediction === 'number');
      this.draw();
      this.truth.ready();
    } catch (thrown) {
      this.loading = false;
      this.fail(thrown);
      this.draw();
    }
  }

  /** 1 to 9 choose a class. */
  key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
    const nth = '123456789'.indexOf(event.key);
    if (nth < 0 || this.current === null || !this.truth.press(nth)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  private get current(): Unlabelled | null {
    return this.rows[this.at] ?? null;
  }

  /** Send a label. The row stays until it was taken: an error loses nothing. */
  private async label(value: Json): Promise<void> {
    const row = this.current;
    if (row === null || this.busy) return;
    const former = this.labels.get(idOf(row));
    if (!(await this.send(row, value))) return;
    this.given.push({ row, label: value, former });
    this.labels.set(idOf(row), value);
    this.truth.learn(value);
    this.next();
  }

  private async takeBack(): Promise<void> {
    const last = this.given.at(-1);
    if (last === undefined || this.busy) return;
    if (last.former !== undefined && !(await this.send(last.row, last.former))) return;
    this.given.pop();
    if (last.former !== undefined) this.labels.set(idOf(last.row), last.former);
    const known = this.rows.indexOf(last.row);
    if (known >= 0) this.at = known;
    else {
      this.rows.splice(this.at, 0, last.row);
    }
    this.fail(null);
    this.draw();
    this.truth.ready();
  }

  private async send(row: Unlabelled, label: Json): Promise<boolean> {
    this.busy = true;
    this.draw();
    try {
      const labels = [{ request: row.request, row: row.row, label }];
      await this.context.model.change<unknown>('/feedback', { labels });
      this.fail(null);
      return true;
    } catch (thrown) {
      this.fail(thrown);
      return false;
    } finally {
      this.busy = false;
      this.draw();
    }
  }

  private pass(): void {
    const row = this.current;
    if (row === null || this.busy) return;
    this.passed.add(idOf(row));
    this.next();
  }

  private next(): void {
    this.at += 1;
    if (this.current === null) void this.load();
    else {
      this.draw();
      this.truth.ready();
    }
  }

  private fail(thrown: unknown): void {
    setHidden(this.wrong, thrown === null);
    setHidden(this.again, true);
    if (thrown === null) return;
    setText(this.wrong, errorText(thrown));
    setHidden(this.again, this.current !== null);
  }

  private draw(): void {
    const { trans } = this.context;
    const row = this.current;
    setHidden(this.card, row === null);
    setText(this.told, this.tell(row));
    const wait = this.busy ? trans('Under way') : '';
    this.truth.disable(wait);
    disable(this.undo, wait || (this.given.length === 0 ? trans('Nothing is labelled yet') : ''));
    disable(this.skip, wait || (row === null ? trans('There is no row') : ''));
    if (row !== null) this.show(row);
  }

  private tell(row: Unlabelled | null): string {
    const { trans } = this.context;
    const done = this.labels.size;
    const count = done === 0 ? '' : ` ${trans('%1 labelled.', done)}`;
    if (this.loading) return trans('Reading…') + count;
    if (row === null && !this.wrong.hidden) return count.trim();
    if (row === null)
      return (
        (done > 0
          ? trans('Nothing is left to label.')
          : trans('No answer waits for a label: send requests first.')) + count
      );
    return trans('Row %1 of %2, the least sure first.', this.at + 1, this.rows.length) + count;
  }

  private show(row: Unlabelled): void {
    const { trans, model } = this.context;
    const label = this.labels.get(idOf(row));
    const facts = [
      row.confidence === null ? '' : trans('%1 sure', percentText(row.confidence)),
      `v${row.version}`,
      momentText(row.at_s, model.store.now(), true),
      label === undefined ? '' : trans('labelled %1', jsonOf(label)),
    ];
    this.answered.replaceChildren(
      `${trans('It answered')} `,
      h('b', { text: jsonOf(row.prediction) }),
      h('span', { class: 'adm-mut', text: ` (${facts.filter((fact) => fact !== '').join(', ')})` }),
    );
    this.columns.replaceChildren(
      ...Object.entries(row.inputs).map(([name, value]) =>
        h('div', {}, h('dt', { class: 'adm-mut', text: name }), h('dd', { text: briefOf(value) })),
      ),
    );
    this.truth.show(row.prediction, label);
  }
}

function idOf(row: Unlabelled): string {
  return `${row.request} ${row.row}`;
}

function jsonOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function briefOf(value: Json): string {
  const text = jsonOf(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
