// What happened, newest first.

import type { LiveEvent, Severity } from '../api/types';
import { eventLabel } from '../chart/marks';
import { h, setAttr, setHidden, setText } from './dom';
import { momentText } from './format';
import type { Context, Part } from './part';

const FEW = 4;

export class Happenings implements Part {
  readonly node: HTMLElement;
  private readonly list = h('ol', { class: 'adm-events' });
  private readonly none: HTMLElement;
  private readonly all: HTMLButtonElement;
  private unfolded = false;
  private drawn = '';

  constructor(private readonly context: Context) {
    const { trans } = context;
    this.none = h('p', { class: 'adm-mut', text: trans('Nothing happened in the last day.') });
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
        { class: 'adm-row' },
        h('h2', { class: 'adm-title', text: trans('Events') }),
        h('span', { class: 'adm-grow' }),
        this.all,
      ),
      this.none,
      this.list,
    );
  }

  update(): void {
    const { model, trans } = this.context;
    const { events } = model;
    const now = model.store.now();
    const shown = (this.unfolded ? events : events.slice(-FEW)).slice().reverse();
    setHidden(this.none, events.length > 0);
    setHidden(this.all, events.length <= FEW);
    setText(this.all, this.unfolded ? trans('Show fewer') : trans('Show all %1', events.length));
    setAttr(this.all, 'aria-expanded', String(this.unfolded));
    const key = shown.map((event) => `${event.id}:${momentText(event.at_s, now)}`).join();
    if (key === this.drawn) return;
    this.drawn = key;
    this.list.replaceChildren(...shown.map((event) => this.item(event, now)));
    setAttr(this.list, 'tabindex', this.unfolded ? '0' : null);
    this.list.classList.toggle('adm-tall', this.unfolded);
  }

  private item(event: LiveEvent, now: number): HTMLElement {
    const { trans } = this.context;
    const words: Record<Severity, string> = {
      info: trans('info'),
      warning: trans('warning'),
      critical: trans('critical'),
    };
    const tone = { info: 'acc', warning: 'warn', critical: 'bad' }[event.severity];
    const sign = { info: '●', warning: '▲', critical: '■' }[event.severity];
    const iso = new Date(event.at_s * 1000).toISOString();
    const label = eventLabel(event, trans);
    return h(
      'li',
      {},
      h('time', {
        class: 'adm-mut adm-time',
        text: momentText(event.at_s, now, true),
        attrs: { datetime: iso },
      }),
      h('span', {
        class: `adm-sign adm-${tone}`,
        text: sign,
        attrs: { role: 'img', 'aria-label': words[event.severity] },
      }),
      h('span', { class: 'adm-what' }, h('b', { text: label }), event.text === '' ? null : ` ${event.text}`),
    );
  }
}
