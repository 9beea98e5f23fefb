// What happened, newest first: events, what was done about faults, and alerts that ended by themselves.

import type { Alert, Incident, LiveEvent, Severity } from '../api/types';
import { eventLabel } from '../chart/marks';
import { h, setAttr, setHidden, setText } from './dom';
import { drillDialog } from './drill';
import { ageText, momentText } from './format';
import { incidentLine } from './incidents';
import { severityMark } from './measure';
import { disable, link, type Context, type Part } from './part';
import { sloDialog } from './slo';

const FEW = 4;

/** What an alert or an incident says itself; where they are known, the event that tells of them is left out. */
const TOLD: readonly string[] = ['alert', 'incident'];

interface Entry {
  at_s: number;
  /** What it looks like is the same while this is. */
  key: string;
  severity: Severity;
  what: () => Shown;
}

interface Shown {
  node: HTMLElement;
  /** What changes something, and can be pressed only where that can be. */
  changing: HTMLButtonElement[];
}

const still = (node: HTMLElement): Shown => ({ node, changing: [] });

export class Happenings implements Part {
  readonly node: HTMLElement;
  private readonly list = h('ol', { class: 'adm-events' });
  private readonly none: HTMLElement;
  private readonly all: HTMLButtonElement;
  private readonly recovery: HTMLButtonElement;
  private readonly drill: HTMLButtonElement;
  private readonly items = new Map<string, Shown>();
  private readonly figuresOf = new Set<string>();
  private unfolded = false;

  constructor(private readonly context: Context) {
    const { trans } = context;
    this.none = h('p', { class: 'adm-mut', text: trans('Nothing happened in the last day.') });
    this.recovery = link('', () => sloDialog(context));
    this.recovery.setAttribute('aria-haspopup', 'dialog');
    this.drill = link(trans('Drill…'), () => drillDialog(context));
    this.drill.setAttribute('aria-haspopup', 'dialog');
    this.all = h('button', {
      class: 'adm-link',
      attrs: { type: 'button', 'aria-expanded': 'false' },
      on: {
        click: () => {
          this.unfolded = !this.unfolded;
          this.update();
        },
      },
    });
    this.node = h(
      'section',
      { class: 'adm-happenings', attrs: { 'aria-label': trans('Events') } },
      h(
        'div',
        { class: 'adm-row adm-events-head' },
        h('h2', { class: 'adm-title', text: trans('Events') }),
        h('span', { class: 'adm-grow' }),
        this.recovery,
        this.drill,
        this.all,
      ),
      this.none,
      this.list,
    );
  }

  update(): void {
    const { model, trans } = this.context;
    const entries = this.entries();
    const shown = (this.unfolded ? entries : entries.slice(-FEW)).slice().reverse();
    setHidden(this.none, entries.length > 0);
    setHidden(this.all, entries.length <= FEW);
    setText(this.all, this.unfolded ? trans('Show fewer') : trans('Show all %1', entries.length));
    setAttr(this.all, 'aria-expanded', String(this.unfolded));
    this.tools();
    this.place(shown);
    for (const { changing } of this.items.values())
      for (const one of changing) disable(one, model.able ? '' : trans('Nothing can be changed now'));
    setAttr(this.list, 'tabindex', this.unfolded ? '0' : null);
    this.list.classList.toggle('adm-tall', this.unfolded);
  }

  private tools(): void {
    const { model, trans } = this.context;
    const words = {
      off: trans('Recovery: off'),
      suggest: trans('Recovery: suggests'),
      act: trans('Recovery: acts'),
    };
    const live = model.link === 'live';
    setText(this.recovery, words[model.glance?.recovery ?? 'act']);
    setHidden(this.recovery, !live);
    setHidden(this.drill, !live);
    const serves = ['running', 'degraded'].includes(model.glance?.status.state ?? '');
    const wait = model.pending === null ? '' : trans('Wait for: %1', model.pending.title);
    disable(this.drill, serves ? wait : trans('It does not serve now'));
  }

  /** Put the entries there; those that look as they did stay, and keep the keyboard. */
  private place(entries: readonly Entry[]): void {
    const keys = new Set<string>();
    entries.forEach((entry, i) => {
      const key = `${entry.key} ${this.momentOf(entry.at_s)}`;
      keys.add(key);
      const item = this.items.get(key) ?? this.item(entry);
      this.items.set(key, item);
      const at = this.list.children[i] ?? null;
      if (at !== item.node) this.list.insertBefore(item.node, at);
    });
    for (const [key, item] of this.items)
      if (!keys.has(key)) {
        item.node.remove();
        this.items.delete(key);
      }
  }

  /** Oldest first. */
  private entries(): Entry[] {
    const { health } = this.context.model;
    const known = health.now !== null;
    const events = this.context.model.events.filter((event) => !known || !TOLD.includes(event.kind));
    const ended = (health.now?.alerts ?? []).filter(
      (alert) => alert.state === 'resolved' && alert.incident === '',
    );
    const entries = [
      ...events.map((event) => this.event(event)),
      ...health.incidents.map((incident) => this.incident(incident)),
      ...ended.map((alert) => this.ended(alert)),
    ];
    return entries.sort((a, b) => a.at_s - b.at_s);
  }

  private event(event: LiveEvent): Entry {
    const { trans } = this.context;
    return {
      at_s: event.at_s,
      key: `event ${event.id}`,
      severity: event.severity,
      what: () =>
        still(
          h(
            'span',
            { class: 'adm-what' },
            h('b', { text: eventLabel(event, trans) }),
            event.text === '' ? null : ` ${event.text}`,
            ...this.more(event),
          ),
        ),
    };
  }

  /** The way from what a re-tune did to its candidates. */
  private more(event: LiveEvent): (HTMLElement | string)[] {
    const { model, trans, showRetune } = this.context;
    if (event.kind !== 'retuned') return [];
    return [
      ' ',
      h('span', { class: 'adm-mut', text: '· ' }),
      link(
        trans('candidates'),
        () => showRetune(model.retunes.at(event.at_s)),
        trans('Candidates of the re-tune'),
      ),
    ];
  }

  private incident(incident: Incident): Entry {
    const shown = this.figuresOf.has(incident.id);
    return {
      at_s: incident.opened_s,
      key: `incident ${JSON.stringify([incident, shown])}`,
      severity: incident.severity,
      what: () =>
        incidentLine(incident, this.context, shown, () => {
          if (!this.figuresOf.delete(incident.id)) this.figuresOf.add(incident.id);
          this.update();
          // It was drawn anew: the keyboard goes with it.
          const now = this.items.get(`${this.incident(incident).key} ${this.momentOf(incident.opened_s)}`);
          now?.node.querySelector<HTMLElement>('[aria-expanded]')?.focus();
        }),
    };
  }

  private ended(alert: Alert): Entry {
    const { trans } = this.context;
    const lasted = alert.until_s - alert.since_s;
    return {
      at_s: alert.until_s,
      key: `alert ${alert.id} ${alert.until_s}`,
      severity: 'info',
      what: () =>
        still(
          h(
            'span',
            { class: 'adm-what' },
            h('b', { text: trans('resolved') }),
            ` ${alert.text}`,
            alert.drill ? h('span', { class: 'adm-tag', text: trans('drill') }) : null,
            lasted > 0
              ? h('span', { class: 'adm-mut', text: ` ${trans('after %1', ageText(lasted))}` })
              : null,
          ),
        ),
    };
  }

  private momentOf(seconds: number): string {
    return momentText(seconds, this.context.model.store.now(), true);
  }

  private item(entry: Entry): Shown {
    const { sign, tone, word } = severityMark(entry.severity, this.context.trans);
    const { node, changing } = entry.what();
    const item = h(
      'li',
      {},
      h('time', {
        class: 'adm-mut adm-time',
        text: this.momentOf(entry.at_s),
        attrs: { datetime: new Date(entry.at_s * 1000).toISOString() },
      }),
      h('span', { class: `adm-sign adm-${tone}`, text: sign, attrs: { role: 'img', 'aria-label': word } }),
      node,
    );
    return { node: item, changing };
  }
}
