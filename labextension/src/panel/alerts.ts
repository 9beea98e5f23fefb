// What is wrong now, the worst first, and how to be left in peace about it for a while.

import type { Alert, Health } from '../api/types';
import { h, setAttr, setClass, setHidden, setText } from './dom';
import { ageText, clockText } from './format';
import { RANK, severityMark } from './measure';
import { disable, link, type Context, type Part } from './part';

const HOURS = [1, 8, 24];
const FEW = 3;

interface Row {
  node: HTMLElement;
  update(alert: Alert): void;
}

export class Alerts implements Part {
  readonly node: HTMLElement;
  private readonly list = h('ul', { class: 'adm-alert-list' });
  private readonly foot: HTMLElement;
  private readonly all: HTMLButtonElement;
  private readonly quiet: HTMLButtonElement;
  private readonly unread = h('p', { class: 'adm-mut', hidden: true });
  private readonly rows = new Map<string, Row>();
  private unfolded = false;
  private silencedShown = false;

  constructor(private readonly context: Context) {
    const { trans } = context;
    this.all = link('', () => {
      this.unfolded = !this.unfolded;
      this.update();
    });
    this.quiet = link('', () => {
      this.silencedShown = !this.silencedShown;
      this.update();
    });
    this.foot = h('p', { class: 'adm-row adm-alert-foot' }, this.all, this.quiet);
    this.node = h(
      'section',
      { class: 'adm-alerts', hidden: true, attrs: { 'aria-label': trans('Alerts') } },
      this.list,
      this.foot,
      this.unread,
    );
    this.list.setAttribute('aria-live', 'polite');
  }

  update(): void {
    const { model, trans } = this.context;
    const { health } = model;
    const firing = model.link === 'live' ? sorted(health.firing) : [];
    const loud = firing.filter((alert) => !health.isSilenced(alert));
    const silenced = firing.filter((alert) => health.isSilenced(alert));
    const shown = [...(this.unfolded ? loud : loud.slice(0, FEW)), ...(this.silencedShown ? silenced : [])];
    this.place(shown);
    setText(this.all, this.unfolded ? trans('Show fewer') : trans('Show all %1', loud.length));
    setAttr(this.all, 'aria-expanded', String(this.unfolded));
    setHidden(this.all, loud.length <= FEW);
    setText(this.quiet, trans('%1 silenced', silenced.length));
    setAttr(this.quiet, 'aria-expanded', String(this.silencedShown));
    setHidden(this.quiet, silenced.length === 0);
    setHidden(this.foot, this.all.hidden && this.quiet.hidden);
    this.tellFaults();
    setHidden(this.node, firing.length === 0 && this.unread.hidden);
  }

  /** What of the watch itself failed: what it does not see is not shown as well. */
  private tellFaults(): void {
    const { model, trans } = this.context;
    const { now, refusal } = model.health;
    const faults = Object.entries(now?.faults ?? {}).map(([part, why]) => trans('%1 failed: %2', part, why));
    if (refusal !== null) faults.push(trans('How it does cannot be read: %1', refusal.what));
    const shown = model.link === 'live' && faults.length > 0;
    setText(this.unread, shown ? faults.join(' · ') : '');
    setHidden(this.unread, !shown);
  }

  private place(alerts: readonly Alert[]): void {
    for (const [id, row] of this.rows)
      if (!alerts.some((alert) => alert.id === id)) {
        row.node.remove();
        this.rows.delete(id);
      }
    alerts.forEach((alert, i) => {
      const row = this.rows.get(alert.id) ?? this.row(alert);
      this.rows.set(alert.id, row);
      const at = this.list.children[i] ?? null;
      if (at !== row.node) this.list.insertBefore(row.node, at);
      row.update(alert);
    });
  }

  private row(first: Alert): Row {
    const { model, trans } = this.context;
    const sign = h('span', { attrs: { 'aria-hidden': 'true' } });
    const word = h('b');
    const text = h('span');
    const drill = h('span', { class: 'adm-tag', text: trans('drill') });
    const age = h('span', { class: 'adm-mut adm-age', attrs: { 'aria-live': 'off' } });
    const silences = HOURS.map((hours, i) =>
      link(
        i === 0 ? trans('Silence %1 h', hours) : trans('%1 h', hours),
        () => void this.silence(first.rule, hours * 3600),
        i === 0
          ? trans('Silence %1 h: %2', hours, first.rule)
          : trans('Silence %2 for %1 h', hours, first.rule),
      ),
    );
    const end = link(trans('End the silence'), () => void this.silence(first.rule, 0));
    const tools = h('span', { class: 'adm-row adm-silence' }, ...silences, end);
    const node = h(
      'li',
      { class: 'adm-alert' },
      sign,
      h('span', { class: 'adm-what' }, word, ' ', text, ' ', drill, ' ', age),
      tools,
    );
    const update = (alert: Alert): void => {
      const mark = severityMark(alert.severity, trans);
      const until = model.health.isSilenced(alert) ? alert.silenced_until_s : 0;
      setClass(node, `adm-alert adm-alert-${alert.severity}${until > 0 ? ' adm-silenced' : ''}`);
      setText(sign, mark.sign);
      setClass(sign, `adm-sign adm-${mark.tone}`);
      setText(word, mark.word);
      setClass(word, `adm-${mark.tone}`);
      setText(text, alert.text);
      setHidden(drill, !alert.drill);
      setText(age, ageOf(alert, model.store.now(), until, this.context));
      for (const one of silences) setHidden(one, until > 0);
      setHidden(end, until === 0);
      for (const one of [...silences, end])
        disable(one, model.link === 'live' ? '' : trans('Nothing can be changed now'));
    };
    return { node, update };
  }

  private async silence(rule: string, seconds: number): Promise<void> {
    const { model } = this.context;
    try {
      model.health.take(await model.change<Health>('/silence', { rule, seconds }));
    } catch (thrown) {
      model.fail(thrown);
    }
  }
}

function ageOf(alert: Alert, nowS: number, untilS: number, { trans }: Context): string {
  const parts = [];
  if (alert.since_s > 0) parts.push(trans('for %1', ageText(nowS - alert.since_s)));
  if (alert.times > 1) parts.push(trans('%1 times', alert.times));
  if (untilS > 0) parts.push(trans('silenced until %1', clockText(untilS, false)));
  return parts.join(', ');
}

function sorted(alerts: readonly Alert[]): Alert[] {
  return [...alerts].sort((a, b) => RANK[b.severity] - RANK[a.severity] || b.since_s - a.since_s);
}
