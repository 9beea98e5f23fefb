// All charts of a deployment: one time axis, one crosshair, one zoom; drawn only while they can be seen.

import type { LiveStore } from '../api/store';
import type { Disposable, Trans } from '../api/transport';
import type { Column, LiveEvent, Series, State } from '../api/types';
import { h, setHidden, setText } from '../panel/dom';
import { PlotCard, type CardEvents } from './card';
import { makeChart } from './chart';
import { Feed } from './feed';
import { figuresCsv, figuresTable, slotText } from './figures';
import { marksOf } from './marks';
import { outages, outageText } from './outage';
import { Painter } from './painter';
import { Palette } from './palette';
import type { Frame, PlotMaker } from './plot';
import { sloLimit } from './scales';
import { plotSpecs } from './specs';

/** What the charts need to know besides their points. */
export interface Setting {
  state: State | null;
  slo: string;
  events: readonly LiveEvent[];
  /** Since when the deployment is known to have been there, in seconds since the epoch. */
  since: number;
}

export interface PlotsOptions {
  name: string;
  store: LiveStore;
  trans: Trans;
  seconds: number;
  copy: (text: string) => Promise<void>;
  maker?: PlotMaker;
  /** What is to be in sight for the charts to be drawn; themselves where it is left out. */
  sight?: Element;
  /** Called when it comes into sight again. */
  onShown?: () => void;
}

const DESCRIBE_MS = 10_000;

export class Plots implements Disposable {
  readonly node: HTMLElement;
  readonly feed: Feed;
  private readonly cards: PlotCard[];
  private readonly more: HTMLElement;
  private readonly moreButton: HTMLButtonElement;
  private readonly resetButton: HTMLButtonElement;
  private readonly tableButton: HTMLButtonElement;
  private readonly copyButton: HTMLButtonElement;
  private readonly table: HTMLElement;
  private readonly spoken: HTMLElement;
  private readonly painter: Painter;
  private readonly palette: Palette;
  private readonly sizes: ResizeObserver | null;
  private readonly hidden = new Set<Column>();
  private readonly ticking: ReturnType<typeof setInterval>;
  private setting: Setting = { state: null, slo: '', events: [], since: Infinity };
  private frame: Frame | null = null;
  private pointed: number | null = null;
  private describedMs = 0;
  private unseenMs = 0;
  private disposed = false;
  private resized = true;

  constructor(private readonly options: PlotsOptions) {
    const { trans } = options;
    const events = this.events();
    const specs = plotSpecs(trans);
    const lastOf = (place: string): string => specs.filter((spec) => spec.place === place).at(-1)?.id ?? '';
    this.cards = specs.map((spec) => {
      const axis = spec.place === 'more' || spec.id === lastOf(spec.place);
      return new PlotCard(spec, axis, trans, options.maker ?? makeChart, events);
    });
    const placed = (place: string): HTMLElement[] =>
      this.cards.filter((card) => card.spec.place === place).map((card) => card.node);
    this.more = h('div', { class: 'adm-more', hidden: true }, ...placed('more'));
    this.table = h('div', { class: 'adm-figures adm-scroll', hidden: true, attrs: { tabindex: 0 } });
    this.table.setAttribute('role', 'region');
    this.table.setAttribute('aria-label', trans('Table of figures'));
    this.spoken = h('div', { class: 'adm-spoken', attrs: { 'aria-live': 'polite' } });
    this.moreButton = this.link(trans('More charts'), () => this.unfold(this.moreButton, this.more));
    this.tableButton = this.link(trans('Table of figures'), () => this.unfold(this.tableButton, this.table));
    this.copyButton = this.link(trans('Copy as CSV'), () => this.copyCsv());
    this.resetButton = this.link(trans('Reset zoom'), () => events.reset());
    this.resetButton.hidden = true;
    for (const button of [this.moreButton, this.tableButton]) button.setAttribute('aria-expanded', 'false');
    this.node = h(
      'section',
      { class: 'adm-charts', attrs: { 'aria-label': trans('Charts') } },
      h('div', { class: 'adm-main' }, ...placed('main')),
      h('div', { class: 'adm-side' }, ...placed('side')),
      this.more,
      h(
        'div',
        { class: 'adm-row adm-charts-foot' },
        this.moreButton,
        this.tableButton,
        this.copyButton,
        h('span', { class: 'adm-grow' }),
        this.resetButton,
      ),
      this.table,
      this.spoken,
    );
    this.palette = new Palette(this.node, () => {
      for (const card of this.cards) card.recolour(this.palette.colours);
    });
    this.painter = new Painter(
      options.sight ?? this.node,
      () => this.paint(),
      () => this.shown(),
    );
    this.sizes = typeof ResizeObserver === 'function' ? new ResizeObserver(() => this.fit()) : null;
    this.sizes?.observe(this.node);
    this.feed = new Feed(options.name, options.store, options.seconds, () => this.painter.request());
    this.ticking = setInterval(() => this.tick(), 1000);
  }

  /** Tell what has changed besides the points. */
  update(setting: Setting): void {
    const before = this.setting;
    this.setting = setting;
    const same =
      setting.state === before.state &&
      setting.slo === before.slo &&
      setting.since === before.since &&
      setting.events.length === before.events.length &&
      setting.events.at(-1)?.id === before.events.at(-1)?.id;
    if (!same) this.painter.request();
  }

  setSeconds(seconds: number): void {
    this.hover(null);
    this.feed.setSeconds(seconds);
  }

  /** Show saved figures, or live ones again. */
  freeze(series: Series | null): void {
    if (series === null) this.feed.thaw();
    else this.feed.freeze(series);
  }

  get visible(): boolean {
    return this.painter.visible;
  }

  dispose(): void {
    this.disposed = true;
    clearInterval(this.ticking);
    this.sizes?.disconnect();
    this.painter.dispose();
    this.palette.dispose();
    this.feed.dispose();
    for (const card of this.cards) card.dispose();
  }

  private fit(): void {
    this.resized = true;
    this.painter.request();
  }

  private link(text: string, click: () => void): HTMLButtonElement {
    return h('button', { class: 'adm-link', text, attrs: { type: 'button' }, on: { click } });
  }

  private unfold(button: HTMLButtonElement, node: HTMLElement): void {
    setHidden(node, !node.hidden);
    button.setAttribute('aria-expanded', String(!node.hidden));
    this.describedMs = 0;
    this.fit();
  }

  private copyCsv(): void {
    if (this.frame === null) return;
    const { trans } = this.options;
    const said = (text: string): void => {
      setText(this.copyButton, text);
      setTimeout(() => setText(this.copyButton, trans('Copy as CSV')), 2000);
    };
    this.options.copy(figuresCsv(this.frame)).then(
      () => said(trans('Copied')),
      () => said(trans('Could not copy')),
    );
  }

  private events(): CardEvents {
    return {
      hover: (t) => this.hover(t),
      zoom: (from, to) => this.feed.zoom(from, to),
      reset: () => this.feed.reset(),
      toggle: (column) => {
        if (!this.hidden.delete(column)) this.hidden.add(column);
        this.painter.request();
      },
      step: (by) => {
        const { frame } = this;
        if (frame === null) return;
        const last = frame.grid.slot(Math.min(frame.to, frame.grid.end)) ?? frame.grid.count - 1;
        const first = frame.grid.slot(frame.from) ?? 0;
        const at = this.pointed === null ? last + (by < 0 ? 1 : 0) : (frame.grid.slot(this.pointed) ?? last);
        const slot = Math.min(last, Math.max(first, at + by));
        this.hover(frame.grid.times[slot] ?? null);
        setText(this.spoken, slotText(frame, frame.grid.times[slot] ?? 0));
      },
      leave: () => this.hover(null),
    };
  }

  private hover(t: number | null): void {
    if (t === this.pointed) return;
    this.pointed = t;
    for (const card of this.cards) card.hover(t);
  }

  private tick(): void {
    if (!this.painter.visible) {
      if (this.unseenMs === 0) this.unseenMs = Date.now();
      return;
    }
    this.feed.tick();
  }

  private shown(): void {
    const unseen = this.unseenMs > 0 && Date.now() - this.unseenMs > 3000;
    this.unseenMs = 0;
    this.palette.refresh();
    this.resized = true;
    this.options.onShown?.();
    if (unseen) this.feed.refresh(true);
    this.painter.request();
  }

  private paint(): void {
    if (this.disposed) return;
    const frame = (this.frame = this.makeFrame());
    const colours = this.palette.colours;
    for (const card of this.cards) {
      const absent =
        card.spec.optional === true && !card.spec.lines.some((line) => frame.grid.has(line.column));
      if (card.node.hidden !== absent) this.resized = true;
      setHidden(card.node, absent);
      if (absent || (card.spec.place === 'more' && this.more.hidden)) continue;
      if (this.resized) card.fit();
      card.update(frame, colours);
    }
    this.resized = false;
    setHidden(this.resetButton, this.feed.zoomed === null);
    if (this.pointed !== null) for (const card of this.cards) card.hover(this.pointed);
    if (Date.now() - this.describedMs >= DESCRIBE_MS) this.describe(frame);
  }

  private makeFrame(): Frame {
    const { feed, setting, options } = this;
    const grid = feed.detail ?? feed.grid;
    const { from, to } = feed.zoomed ?? { from: grid.start, to: grid.end };
    const now = options.store.now();
    return {
      grid,
      from,
      to,
      marks: marksOf(setting.events, from, to, options.trans),
      outages: outages(grid, now, feed.loaded ? setting.since : Infinity, setting.state, setting.events).map(
        (outage) => ({ ...outage, label: outageText(outage.what, options.trans) }),
      ),
      limit: sloLimit(setting.slo),
      hidden: this.hidden,
    };
  }

  private describe(frame: Frame): void {
    this.describedMs = Date.now();
    const { trans } = this.options;
    for (const card of this.cards)
      card.describe(`${card.words()}. ${trans('The arrow keys read single values.')}`);
    if (!this.table.hidden) this.table.replaceChildren(figuresTable(frame, this.options.store.now(), trans));
  }
}
