// A chart with its title, its legend and what the reader points at.

import type { Column } from '../api/types';
import type { Trans } from '../api/transport';
import { h, setAttr, setHidden, setText } from '../panel/dom';
import { clockText } from '../panel/format';
import { valueAt, type LineSpec } from './lines';
import type { Colours } from './palette';
import type { Frame, Plot, PlotEvents, PlotMaker } from './plot';
import type { PlotSpec } from './specs';

const SVG = 'http://www.w3.org/2000/svg';
/** A mark is pointed at within this many CSS pixels. */
const NEAR = 6;

interface Entry {
  line: LineSpec;
  value: HTMLElement;
  button: HTMLButtonElement | null;
}

export interface CardEvents extends PlotEvents {
  /** A line of the legend was switched. */
  toggle(column: Column): void;
  /** A key was pressed on the chart: move by so many slots, or leave. */
  step(by: number): void;
  leave(): void;
}

export class PlotCard {
  readonly node: HTMLElement;
  private readonly host: HTMLElement;
  private readonly empty: HTMLElement;
  private readonly tip: HTMLElement;
  private readonly entries: Entry[];
  private plot: Plot | null = null;
  private frame: Frame | null = null;
  private pointed: number | null = null;
  private summary = '';

  constructor(
    readonly spec: PlotSpec,
    private readonly axis: boolean,
    private readonly trans: Trans,
    private readonly make: PlotMaker,
    private readonly events: CardEvents,
  ) {
    this.entries = spec.lines.map((line) => this.entry(line, spec.lines.length > 1));
    this.empty = h('div', { class: 'adm-none', hidden: true });
    this.tip = h('div', { class: 'adm-tip', hidden: true });
    this.host = h('div', {
      class: 'adm-plot',
      attrs: { tabindex: 0, role: 'group', 'aria-roledescription': trans('chart') },
      on: { keydown: (event) => this.key(event as KeyboardEvent), blur: () => events.leave() },
    });
    const legend = h(
      'div',
      { class: 'adm-legend' },
      ...this.entries.map((entry) => entry.button ?? entry.value),
    );
    this.node = h(
      'div',
      { class: `adm-card adm-card-${spec.id}` },
      h(
        'div',
        { class: 'adm-card-head' },
        h('span', { class: 'adm-card-title', text: spec.title }),
        spec.unit === '' ? null : h('span', { class: 'adm-mut', text: spec.unit }),
        h('span', { class: 'adm-grow' }),
        legend,
      ),
      h('div', { class: 'adm-plot-frame' }, this.host, this.empty, this.tip),
    );
    this.host.style.height = `${spec.height + (axis ? 20 : 0)}px`;
  }

  get height(): number {
    return this.spec.height;
  }

  update(frame: Frame, colours: Colours): void {
    this.frame = frame;
    if (this.plot === null) {
      this.plot = this.make(this.host, this.spec, this.axis, colours, this.events);
      this.fit();
    }
    this.plot.update(frame);
    const measured = this.spec.lines.some((line) => shown(frame, line.column));
    setHidden(this.empty, measured);
    if (!measured) setText(this.empty, this.emptyText());
    for (const { line, button } of this.entries)
      if (button !== null) setAttr(button, 'aria-pressed', String(!frame.hidden.has(line.column)));
    this.read();
  }

  /** Take the width that there is. */
  fit(): void {
    this.plot?.resize(this.host.clientWidth);
  }

  /** Show what was at a time: the crosshair, the legend's figures, and what happened then. */
  hover(t: number | null): void {
    this.pointed = t;
    this.plot?.hover(t);
    this.read();
    this.tell(this.node.matches(':hover, :focus-within') ? t : null);
  }

  recolour(colours: Colours): void {
    this.plot?.recolour(colours);
  }

  /** What the chart shows, for who does not see it. */
  describe(text: string): void {
    if (text === this.summary) return;
    this.summary = text;
    setAttr(this.host, 'aria-label', text);
  }

  /** The chart in words: its latest figures and its greatest. */
  words(): string {
    const { frame, spec } = this;
    if (frame === null) return spec.title;
    const parts = spec.lines.map((line) => {
      const known = knownOf(frame, line);
      const last = known.at(-1);
      if (last === undefined) return this.trans('%1 not measured', line.label);
      const top = known.reduce((best, one) => (one.value > best.value ? one : best));
      const at = clockText(top.t);
      return this.trans(
        '%1 %2, at most %3 at %4',
        line.label,
        spec.value(last.value),
        spec.value(top.value),
        at,
      );
    });
    return `${spec.title}: ${parts.join('; ')}`;
  }

  dispose(): void {
    this.plot?.dispose();
    this.plot = null;
  }

  private emptyText(): string {
    const asked =
      this.frame?.grid.column('requests_per_s').some((value) => value !== null && value > 0) ?? false;
    if (this.spec.id === 'latency' && !asked) return this.trans('no requests in this time');
    return this.trans('not measured in this time');
  }

  private entry(line: LineSpec, toggles: boolean): Entry {
    const value = h('span', { class: 'adm-figure' });
    if (!toggles) return { line, value, button: null };
    const button = h(
      'button',
      {
        class: 'adm-key',
        attrs: { type: 'button', 'aria-pressed': 'true' },
        on: { click: () => this.events.toggle(line.column) },
      },
      swatch(line),
      h('span', { text: line.label }),
      value,
    );
    return { line, value, button };
  }

  private read(): void {
    const { frame } = this;
    if (frame === null) return;
    const slot = this.pointed === null ? latest(frame) : frame.grid.slot(this.pointed);
    for (const { line, value } of this.entries) {
      const figure = slot === null ? null : valueAt(frame.grid, line, slot);
      setText(value, this.spec.value(figure));
    }
  }

  private tell(t: number | null): void {
    const { frame } = this;
    if (t === null || frame === null) {
      setHidden(this.tip, true);
      return;
    }
    const reach = (NEAR * (frame.to - frame.from)) / Math.max(1, this.host.clientWidth - 44);
    const near = frame.marks.filter((mark) => Math.abs(mark.at - t) <= Math.max(reach, frame.grid.step / 2));
    setHidden(this.tip, near.length === 0);
    if (near.length === 0) return;
    setText(
      this.tip,
      near
        .map((mark) => `${clockText(mark.at)}  ${mark.label}${mark.text ? ` · ${mark.text}` : ''}`)
        .join('\n'),
    );
    const share = (t - frame.from) / (frame.to - frame.from);
    this.tip.style.left = share > 0.5 ? '46px' : 'auto';
    this.tip.style.right = share > 0.5 ? 'auto' : '4px';
  }

  private key(event: KeyboardEvent): void {
    const count = this.frame?.grid.count ?? 0;
    const far = event.shiftKey ? 10 : 1;
    const steps: Record<string, number> = { ArrowLeft: -far, ArrowRight: far, Home: -count, End: count };
    const by = steps[event.key];
    if (by !== undefined) this.events.step(by);
    else if (event.key === 'Escape' && this.pointed !== null) this.events.leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** What was measured within the time that is shown. */
function knownOf(frame: Frame, line: LineSpec): { t: number; value: number }[] {
  const known: { t: number; value: number }[] = [];
  frame.grid.times.forEach((t, slot) => {
    const value = t >= frame.from && t <= frame.to ? valueAt(frame.grid, line, slot) : null;
    if (value !== null) known.push({ t, value });
  });
  return known;
}

function shown(frame: Frame, column: Column): boolean {
  const values = frame.grid.column(column);
  const first = frame.grid.slot(frame.from) ?? 0;
  const last = frame.grid.slot(frame.to) ?? frame.grid.count - 1;
  for (let i = first; i <= last; i += 1) if ((values[i] ?? null) !== null) return true;
  return false;
}

/** The last slot that anything is known of, if it is a recent one. */
function latest(frame: Frame): number | null {
  const { grid } = frame;
  const first = grid.slot(frame.from) ?? 0;
  const last = grid.slot(frame.to) ?? grid.count - 1;
  for (let i = last; i >= Math.max(first, last - 4); i -= 1)
    if (grid.column('requests_per_s')[i] !== null || grid.column('memory_bytes')[i] !== null) return i;
  return null;
}

/** A piece of the line, as it is drawn. */
function swatch(line: LineSpec): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'adm-swatch');
  svg.setAttribute('viewBox', '0 0 18 4');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', 'M0 2H18');
  path.setAttribute('style', `stroke: var(--adm-${line.colour})`);
  if (line.dash !== undefined) path.setAttribute('stroke-dasharray', line.dash.join(' '));
  svg.append(path);
  return svg;
}
