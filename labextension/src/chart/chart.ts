// A chart drawn by uPlot: lines over a time axis, with what happened and what was down.

import uPlot from 'uplot';
import { clockText, dayText } from '../panel/format';
import { drawLimit, drawMarks, drawOutages, nameOutages } from './draw';
import { drawnValues, type LineSpec } from './lines';
import type { Colours } from './palette';
import { AXIS_HEIGHT, type Frame, type Plot, type PlotEvents, type PlotMaker } from './plot';
import type { Bounds } from './scales';
import type { PlotSpec } from './specs';
import type { Values } from './window';

const FONT = '10px system-ui, sans-serif';
const GUTTER = 42;
/** Above the first chart there is room for the names of what happened. */
const MARKS_HEIGHT = 16;
/** Steps of the time axis, in seconds. */
const STEPS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
];
/** A drag shorter than this, in CSS pixels, is a click. */
const SHORTEST_DRAG = 6;

export const makeChart: PlotMaker = (host, spec, axis, colours, events) =>
  new Chart(host, spec, axis, colours, events);

class Chart implements Plot {
  private readonly plot: uPlot;
  private frame: Frame | null = null;
  private bounds: Bounds | null = null;
  private follows = false;
  private readonly when: HTMLElement;
  /** Arrays of what is derived from the grid, one a line: made once. */
  private readonly derived: Values[];

  constructor(
    private readonly host: HTMLElement,
    private readonly spec: PlotSpec,
    private readonly axis: boolean,
    private colours: Colours,
    private readonly events: PlotEvents,
  ) {
    this.derived = spec.lines.map(() => []);
    this.plot = new uPlot(this.options(), [[], ...spec.lines.map(() => [])], host);
    this.when = document.createElement('div');
    this.when.className = 'adm-when';
    this.when.hidden = true;
    this.plot.over.append(this.when);
    this.plot.over.addEventListener('dblclick', () => this.events.reset());
    this.plot.over.addEventListener('mouseleave', () => this.events.hover(null));
  }

  update(frame: Frame): void {
    this.frame = frame;
    const { grid } = frame;
    this.plot.batch(() => {
      this.spec.lines.forEach((line, i) => {
        const show = !frame.hidden.has(line.column);
        if (this.plot.series[i + 1]?.show !== show) this.plot.setSeries(i + 1, { show }, false);
      });
      const data = [
        grid.times,
        ...this.spec.lines.map((line, i) => drawnValues(grid, line, this.derived[i] ?? [])),
      ];
      this.plot.setData(data as uPlot.AlignedData, false);
      this.plot.setScale('x', { min: frame.from, max: frame.to });
    });
  }

  hover(t: number | null): void {
    this.follows = true;
    const inside = t !== null && this.frame !== null && t >= this.frame.from && t <= this.frame.to;
    const left = inside ? this.plot.valToPos(t, 'x') : -10;
    this.plot.setCursor({ left, top: inside ? 0 : -10 }, false);
    this.when.hidden = !inside || !this.axis;
    if (inside && this.axis) {
      this.when.textContent = clockText(t);
      const width = this.plot.over.clientWidth;
      this.when.style.left = `${Math.min(Math.max(left, 26), Math.max(26, width - 26))}px`;
    }
    this.follows = false;
  }

  resize(width: number): void {
    const height = this.height();
    if (width > 0 && (width !== this.plot.width || height !== this.plot.height))
      this.plot.setSize({ width, height });
  }

  recolour(colours: Colours): void {
    this.colours = colours;
    this.plot.redraw(false, true);
  }

  dispose(): void {
    this.plot.destroy();
  }

  private height(): number {
    return this.spec.height + (this.axis ? AXIS_HEIGHT : 0);
  }

  private options(): uPlot.Options {
    const { spec } = this;
    return {
      width: Math.max(120, this.host.clientWidth),
      height: this.height(),
      padding: [spec.id === 'latency' ? MARKS_HEIGHT : 6, 2, this.axis ? 0 : 4, 0],
      legend: { show: false },
      focus: { alpha: 1 },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: SHORTEST_DRAG },
        bind: { dblclick: () => null },
        points: {
          size: 7,
          width: 1.5,
          stroke: (_, i) => this.lineColour(spec.lines[i - 1]),
          fill: () => this.colours.bg,
        },
      },
      scales: {
        x: { time: true, range: (_, min, max) => [min, max] },
        y: {
          ...distribution(spec.log),
          range: (_, min, max) => this.rangeOf(min, max),
        },
      },
      axes: [this.timeAxis(), this.valueAxis()],
      series: [{}, ...spec.lines.map((line) => this.series(line))],
      hooks: {
        drawClear: [(plot) => this.drawBelow(plot)],
        draw: [(plot) => this.drawAbove(plot)],
        setCursor: [(plot) => this.pointed(plot)],
        setSelect: [(plot) => this.selected(plot)],
      },
    };
  }

  private series(line: LineSpec): uPlot.Series {
    return {
      scale: 'y',
      width: line.width ?? 1.5,
      stroke: () => this.lineColour(line),
      ...(line.dash === undefined ? {} : { dash: [...line.dash] }),
      ...(line.fill === true ? { fill: () => faint(this.lineColour(line), 0.12) } : {}),
      points: {
        show: false,
        size: 3.5,
        fill: () => this.lineColour(line),
        // A second with neighbours on neither side would be a line without length.
        filter: (plot, i) => lonely(plot.data[i] as (number | null)[], plot.series[0]?.idxs ?? [0, -1]),
      },
    };
  }

  private timeAxis(): uPlot.Axis {
    return {
      show: this.axis,
      size: AXIS_HEIGHT,
      gap: 2,
      space: (_, __, ___, ____, width) => (width > 320 ? 72 : 52),
      font: FONT,
      stroke: () => this.colours.mut,
      grid: { show: false },
      ticks: { show: false },
      incrs: STEPS_S,
      splits: (_, __, min, max, step) => timeSplits(min, max, step),
      values: (plot, splits, _, __, increment) => {
        // A label at the very edge would be cut.
        const { min = 0, max = 1 } = plot.scales.x ?? {};
        const last = max - (18 * (max - min)) / Math.max(1, plot.width - GUTTER);
        return splits.map((t) => (t > last ? '' : timeTick(t, increment)));
      },
    };
  }

  private valueAxis(): uPlot.Axis {
    return {
      size: GUTTER,
      gap: 4,
      font: FONT,
      stroke: () => this.colours.mut,
      grid: { stroke: () => this.colours.line, width: 1 },
      ticks: { show: false },
      splits: (plot) => this.spec.ticks([plot.scales.y?.min ?? 0, plot.scales.y?.max ?? 1]),
      filter: (_, splits) => splits,
      values: (_, splits) => splits.map((value) => this.spec.tick(value)),
    };
  }

  private rangeOf(min: number | null, max: number | null): Bounds {
    // A logarithmic axis has no place for zero.
    const low = this.spec.log && min !== null ? Math.max(min, 1e-6) : min;
    this.bounds = this.spec.bounds(low, max, this.frame?.limit?.seconds ?? null, this.bounds);
    return this.bounds;
  }

  private lineColour(line: LineSpec | undefined): string {
    return this.colours[line?.colour ?? 'mut'];
  }

  private drawBelow(plot: uPlot): void {
    if (this.frame !== null) drawOutages(plot, this.frame.outages, this.colours);
  }

  private drawAbove(plot: uPlot): void {
    if (this.frame === null) return;
    if (this.spec.id === 'latency') nameOutages(plot, this.frame.outages, this.colours);
    if (this.spec.log && this.frame.limit !== null) drawLimit(plot, this.frame.limit, this.colours);
    drawMarks(plot, this.frame.marks, this.colours, this.spec.id === 'latency');
  }

  private pointed(plot: uPlot): void {
    if (this.follows) return;
    const left = plot.cursor.left ?? -1;
    const i = plot.cursor.idx;
    const t = left < 0 || i === null || i === undefined ? null : (plot.data[0][i] ?? null);
    this.events.hover(t);
  }

  private selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < SHORTEST_DRAG) return;
    const from = plot.posToVal(left, 'x');
    const to = plot.posToVal(left + width, 'x');
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.events.zoom(from, to);
  }
}

/** uPlot names them in an enum that exists in its declarations alone: linear 1, logarithmic 3. */
function distribution(log: boolean): Pick<uPlot.Scale, 'distr'> {
  return JSON.parse(`{ "distr": ${log ? 3 : 1} }`) as Pick<uPlot.Scale, 'distr'>;
}

/** Round times of the reader's own clock. */
export function timeSplits(min: number, max: number, step: number): number[] {
  const ahead = -60 * new Date(min * 1000).getTimezoneOffset();
  const splits: number[] = [];
  for (let t = Math.ceil((min + ahead) / step) * step - ahead; t <= max; t += step) splits.push(t);
  return splits;
}

function timeTick(t: number, increment: number): string {
  if (increment >= 86_400) return dayText(t);
  return clockText(t, increment < 60);
}

/** The places of values without a neighbour; null for none. */
function lonely(values: (number | null)[], [first, last]: number[]): number[] | null {
  let found: number[] | null = null;
  for (let i = first ?? 0; i <= (last ?? -1); i += 1) {
    if ((values[i] ?? null) === null) continue;
    if ((values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null) (found ??= []).push(i);
  }
  return found;
}

/** A colour as the browser computes it ("rgb(1, 2, 3)", "color(srgb …)"), nearly transparent. */
export function faint(colour: string, alpha: number): string {
  const rgb = /^rgba?\(\s*([\d.]+)[,\s]+([\d.]+)[,\s]+([\d.]+)/.exec(colour);
  return rgb === null ? colour : `rgba(${rgb.slice(1, 4).join(', ')}, ${alpha})`;
}
