// The re-tune in the panel: what it is at while it runs, and at its end what was found, with the plot and the table.

import type { Retune } from '../api/retunes';
import { Pareto } from '../chart/pareto';
import { candidatesTable } from './candidates';
import { budgetText, challengersOf, contenderOf, doneOf, goalText, praise, triggerText } from './contender';
import { h, setAttr, setClass, setHidden, setText } from './dom';
import { ageText, countText, momentText } from './format';
import { button, disable, link, type Context, type Part } from './part';
import { sceneOf } from './scene';
import { takeDialog, undoDialog } from './take';

/** One that waits for a decision is shown by itself for a day, in seconds. */
const WAITS_S = 86_400;

export class RetunePart implements Part {
  readonly node: HTMLElement;
  private readonly bar = h('i');
  private readonly progress = h(
    'div',
    { class: 'adm-bar', attrs: { role: 'progressbar', 'aria-valuemin': 0 } },
    this.bar,
  );
  private readonly spin = h('span', { class: 'adm-spin', attrs: { 'aria-hidden': 'true' } });
  private readonly choice: HTMLSelectElement;
  private readonly step = h('p', { class: 'adm-retune-step' });
  private readonly best = h('p', { class: 'adm-mut' });
  private readonly outcome = h('p', {
    class: 'adm-outcome',
    attrs: { role: 'status', 'aria-live': 'polite' },
  });
  private readonly cancel: HTMLButtonElement;
  private readonly take: HTMLButtonElement;
  private readonly undo: HTMLButtonElement;
  private readonly more: HTMLButtonElement;
  private readonly close: HTMLButtonElement;
  private readonly pareto: Pareto;
  private readonly missing = h('p', { class: 'adm-mut' });
  private readonly data = h('p', { class: 'adm-mut' });
  private readonly key: HTMLElement;
  private readonly table = h('div');
  private readonly details: HTMLElement;
  private readonly unfolded = new Set<string>();
  private readonly closed = new Set<string>();
  private changing: HTMLButtonElement[] = [];
  /** The one that the reader chose; "": the one that matters now. */
  private chosen = '';
  /** The one that ran when it was looked last. */
  private ran = '';
  private open = false;
  private cancelling = '';
  private drawn = '';
  private listed = '';

  constructor(private readonly context: Context) {
    const { trans } = context;
    setAttr(this.progress, 'aria-label', trans('Candidates that are through'));
    this.choice = h('select', {
      class: 'adm-button adm-select adm-small',
      attrs: { 'aria-label': trans('Which re-tune') },
      on: { change: () => this.choose(this.choice.value) },
    });
    this.cancel = button(trans('Cancel'), () => void this.stop(), { class: 'adm-small' });
    this.cancel.setAttribute('aria-label', trans('Cancel the re-tune'));
    this.take = button(trans('Take it…'), () => this.ask('take'), { class: 'adm-small adm-primary' });
    this.undo = button(trans('Roll back…'), () => this.ask('undo'), { class: 'adm-small' });
    for (const one of [this.take, this.undo]) one.setAttribute('aria-haspopup', 'dialog');
    this.more = link(trans('candidates'), () => this.toggle());
    this.close = button('×', () => this.hide(), { class: 'adm-icon adm-small' });
    this.close.setAttribute('aria-label', trans('Close the re-tune'));
    this.pareto = new Pareto((id) => this.goTo(id));
    this.key = h(
      'p',
      { class: 'adm-mut adm-legend-line' },
      trans(
        '◉ serves now · filled: passed · hollow: fell · line: the best of those that passed · area: size',
      ),
    );
    this.details = h(
      'div',
      { class: 'adm-retune-details', hidden: true },
      this.pareto.node,
      this.key,
      this.missing,
      this.table,
      this.data,
    );
    this.node = h(
      'section',
      { class: 'adm-retune', hidden: true, attrs: { 'aria-label': trans('Re-tune') } },
      this.progress,
      h(
        'div',
        { class: 'adm-row adm-retune-head' },
        this.spin,
        h('h2', { class: 'adm-title', text: trans('Re-tune') }),
        this.choice,
        h('span', { class: 'adm-grow' }),
        this.take,
        this.undo,
        this.cancel,
        this.close,
      ),
      h('div', { class: 'adm-retune-told' }, this.step, this.best, this.outcome, this.more),
      this.details,
    );
  }

  /** Show one with its plot and table: the newest, or the one of that id. */
  show(id = ''): void {
    const { model } = this.context;
    const shown = id === '' ? model.retunes.all[0] : (model.retunes.get(id) ?? undefined);
    if (shown === undefined) return;
    this.chosen = shown.id;
    this.closed.delete(shown.id);
    this.open = true;
    this.update();
    this.more.focus({ preventScroll: true });
    if (typeof this.node.scrollIntoView === 'function') this.node.scrollIntoView({ block: 'nearest' });
  }

  update(): void {
    const one = this.current();
    setHidden(this.node, one === null);
    if (one === null) return;
    this.list(one);
    this.head(one);
    setHidden(this.details, !this.open);
    setAttr(this.more, 'aria-expanded', String(this.open));
    if (this.open) this.draw(one);
    const { model, trans } = this.context;
    const wait = model.pending === null ? '' : trans('Wait for: %1', model.pending.title);
    const held = wait || (model.link === 'live' ? '' : trans('Nothing can be changed now'));
    for (const node of [this.take, this.undo, ...this.changing]) disable(node, held);
    const cancelling = this.cancelling === one.id ? trans('Being cancelled') : '';
    disable(this.cancel, cancelling || (model.link === 'live' ? '' : trans('Nothing can be changed now')));
  }

  dispose(): void {
    this.pareto.dispose();
  }

  /** The one that is shown: that runs, was chosen, has just ended, is watched more closely, or waits for a decision. */
  private current(): Retune | null {
    const { model } = this.context;
    const { retunes } = model;
    if (model.link === 'saved' || model.link === 'gone') return null;
    const { running } = retunes;
    if (running !== null && running.id !== this.ran) this.chosen = running.id; // a new one is what matters
    this.ran = running?.id ?? '';
    const chosen = this.chosen === '' ? null : retunes.get(this.chosen);
    if (chosen !== null) return chosen;
    const now = model.store.now();
    const matters = (one: Retune): boolean =>
      one.state === 'running' ||
      retunes.fresh.has(one.id) ||
      (bakes(one) && one.bakes_until_s > now) ||
      (waits(one) && now - one.ended_s < WAITS_S);
    return retunes.all.find((one) => matters(one) && !this.closed.has(one.id)) ?? null;
  }

  private list(one: Retune): void {
    const { model } = this.context;
    const now = model.store.now();
    const all = model.retunes.all;
    const key = JSON.stringify([all.map((other) => [other.id, other.state]), Math.floor(now / 3600)]);
    if (key !== this.listed) {
      this.listed = key;
      this.choice.replaceChildren(
        ...all.map((other) =>
          h('option', { text: titleOf(other, now, this.context), attrs: { value: other.id } }),
        ),
      );
    }
    if (this.choice.value !== one.id) this.choice.value = one.id;
  }

  private head(one: Retune): void {
    const { model, trans } = this.context;
    const running = one.state === 'running';
    const now = model.store.now();
    const [done, tried] = doneOf(one);
    const all = challengersOf(one).length;
    setHidden(this.spin, !running);
    setHidden(this.progress, !running);
    setHidden(this.step, !running);
    setHidden(this.best, !running);
    setHidden(this.cancel, !running);
    setHidden(this.close, running);
    setHidden(this.take, !waits(one));
    setHidden(this.undo, one.promoted === '' || one.undone);
    setText(this.more, all > 0 ? trans('%1 candidates', all) : trans('candidates'));
    setHidden(this.more, all === 0);
    if (running) {
      this.bar.style.width = tried === 0 ? '0%' : `${Math.round((100 * done) / tried)}%`;
      setAttr(this.progress, 'aria-valuemax', String(Math.max(1, tried)));
      setAttr(this.progress, 'aria-valuenow', String(done));
      const spent = ageText(Math.max(0, now - one.started_s));
      const facts = [
        tried > 0 ? trans('%1 of %2 candidates', done, tried) : '',
        trans('%1 of at most %2', spent, budgetText(one.order.budget_s)),
        triggerText(one.order.trigger, trans),
      ];
      setText(this.step, [one.step, ...facts].filter((fact) => fact !== '').join(' · '));
      const best = one.best === 'c0' ? null : contenderOf(one, one.best);
      setText(
        this.best,
        best === null
          ? trans('Nothing is better so far than what serves')
          : trans('Best so far: %1', praise(best, one, trans)),
      );
    }
    setText(this.outcome, running ? '' : outcomeText(one, now, this.context));
    setClass(this.outcome, one.state === 'failed' ? 'adm-outcome adm-bad' : 'adm-outcome');
  }

  private draw(one: Retune): void {
    const { model, trans } = this.context;
    void model.retunes.fill(one.id);
    const drawn = JSON.stringify([one, [...this.unfolded], model.glance?.status.version]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const scene = sceneOf(one, trans);
    setHidden(this.pareto.node, scene === null);
    setHidden(this.key, scene === null);
    if (scene !== null) this.pareto.update(scene);
    const left = one.contenders.length - (scene?.spots.length ?? 0);
    setText(
      this.missing,
      scene === null ? trans('Nothing could be measured in both.') : leftText(left, this.context),
    );
    setHidden(this.missing, this.missing.textContent === '');
    const held = heldBy(this.table);
    const { node, changing } = candidatesTable(one, this.unfolded, (id) => this.unfold(id), this.context);
    const scrolled = this.table.firstElementChild?.scrollLeft ?? 0;
    this.table.replaceChildren(node);
    node.scrollLeft = scrolled;
    this.changing = changing;
    held?.(this.table);
    setText(this.data, dataText(one, this.context));
  }

  private choose(id: string): void {
    this.chosen = id;
    this.update();
  }

  private toggle(): void {
    this.open = !this.open;
    this.update();
  }

  private hide(): void {
    for (const other of this.context.model.retunes.all)
      if (other.state !== 'running') this.closed.add(other.id);
    this.chosen = '';
    this.open = false;
    this.update();
    const opener = this.node.closest('.adm-panel')?.querySelector<HTMLElement>('.adm-toolbar > .adm-primary');
    opener?.focus({ preventScroll: true });
  }

  private unfold(id: string): void {
    if (!this.unfolded.delete(id)) this.unfolded.add(id);
    this.update();
  }

  /** From a circle to its row. */
  private goTo(id: string): void {
    const row = [...this.table.querySelectorAll<HTMLElement>('[data-contender]')].find(
      (one) => one.dataset['contender'] === id,
    );
    const target = row?.querySelector<HTMLElement>('button');
    if (typeof row?.scrollIntoView === 'function') row.scrollIntoView({ block: 'nearest' });
    target?.focus({ preventScroll: true });
  }

  private ask(what: 'take' | 'undo'): void {
    const one = this.current();
    if (one === null) return;
    const chosen = contenderOf(one, one.chosen);
    if (what === 'undo') undoDialog(one, this.context);
    else if (chosen !== null) takeDialog(one, chosen, this.context);
  }

  private async stop(): Promise<void> {
    const one = this.current();
    if (one === null) return;
    const { model } = this.context;
    this.cancelling = one.id;
    this.update();
    try {
      const path = `/retunes/${encodeURIComponent(one.id)}/cancel`;
      model.retunes.put(await model.change<Retune>(path, {}));
    } catch (thrown) {
      model.fail(thrown);
    } finally {
      this.cancelling = '';
      this.update();
    }
  }
}

function waits(one: Retune): boolean {
  const chosen = contenderOf(one, one.chosen);
  return one.state === 'done' && one.promoted === '' && chosen?.state === 'passed';
}

function bakes(one: Retune): boolean {
  return one.promoted !== '' && !one.undone;
}

function titleOf(one: Retune, now: number, { trans }: Context): string {
  const words = {
    running: trans('runs'),
    cancelled: trans('cancelled'),
    failed: trans('failed'),
    done: one.chosen === '' || one.chosen === 'c0' ? trans('nothing better') : trans('found'),
  };
  const became = one.undone ? trans('rolled back') : one.promoted !== '' ? trans('taken') : words[one.state];
  return `${momentText(one.started_s, now)} · ${goalText(one.order.goal, trans)} · ${became}`;
}

/** The outcome in a sentence, and what follows from it. */
function outcomeText(one: Retune, now: number, { trans }: Context): string {
  const parts: string[] = [];
  if (one.state === 'cancelled') parts.push(one.outcome || trans('Cancelled; nothing was changed'));
  else if (one.state === 'failed')
    parts.push(trans('It failed: %1', one.error || one.outcome || trans('no reason was told')));
  else parts.push(one.outcome || trans('It ended'));
  if (one.undone) parts.push(trans('It was rolled back'));
  else if (bakes(one) && one.bakes_until_s > now)
    parts.push(trans('watched more closely for %1', ageText(one.bakes_until_s - now)));
  return parts.join(' · ');
}

function leftText(left: number, { trans }: Context): string {
  return left === 0 ? '' : trans('%1 more in the table alone: not measured in both.', left);
}

/** What it was judged by. */
function dataText({ data, order }: Retune, { trans }: Context): string {
  const facts = [
    data.held_out > 0 ? trans('%1 held-out rows', countText(data.held_out)) : '',
    data.training > 0 ? trans('%1 rows for training', countText(data.training)) : '',
    data.calibration > 0 ? trans('%1 for calibration', countText(data.calibration)) : '',
    data.requests > 0
      ? trans('%1 recorded requests', countText(data.requests))
      : trans('no recorded requests'),
    trans('seed %1', order.seed),
    ...data.notes,
  ];
  return `${trans('Data')}: ${facts.filter((fact) => fact !== '').join(' · ')}`;
}

/** Where the keyboard is within a node that is drawn anew: gives it back to what is the same there. */
function heldBy(node: HTMLElement): ((anew: HTMLElement) => void) | null {
  const held = document.activeElement;
  if (!(held instanceof HTMLElement) || !node.contains(held)) return null;
  const label = held.getAttribute('aria-label') ?? '';
  return (anew) =>
    [...anew.querySelectorAll('button')]
      .find((one) => one.getAttribute('aria-label') === label)
      ?.focus({ preventScroll: true });
}
