// The candidates of a re-tune as circles: CPU of a request across, how right they are upwards, size as the area.

import type { Disposable } from '../api/transport';
import { h, setAttr, setHidden, setText } from '../panel/dom';
import { logTicks, roundTo, zeroBounds, zeroTicks, type Bounds } from './scales';

export interface Spot {
  id: string;
  /** Beside its circle, where there is one. */
  label: string;
  /** What it is, line by line. */
  tip: readonly string[];
  kind: 'champion' | 'passed' | 'fell';
  chosen: boolean;
  /** Whether no other that passed is better in everything. */
  front: boolean;
  x: number;
  y: number;
  low: number | null;
  high: number | null;
  size: number | null;
}

export interface Scene {
  spots: readonly Spot[];
  /** What it is of, for who does not see it. */
  label: string;
  xName: string;
  yName: string;
  xText: (value: number) => string;
  yText: (value: number) => string;
  /** Whether less is better: the better is always further up. */
  down: boolean;
}

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 250;
const PAD = { left: 56, right: 18, top: 24, bottom: 36 };
const LARGEST = 15;
const SMALLEST = 3.5;
/** Times of CPU that are further apart than this are drawn on a logarithmic axis. */
const FAR = 6;
/** What is worse by this many times the spread of the others stands at the edge. */
const OFF = 3;

type Place = (value: number) => number;

export class Pareto implements Disposable {
  readonly node: HTMLElement;
  private readonly svg = make('svg', { role: 'group', class: 'adm-pareto' });
  private readonly tip = h('div', { class: 'adm-tip', hidden: true, attrs: { 'aria-hidden': 'true' } });
  private readonly sizes: ResizeObserver | null;
  private scene: Scene | null = null;
  private width = 0;
  private active = '';
  /** Their ids from left to right, as the arrow keys go. */
  private order: string[] = [];

  /** `pick` is told which one was pressed. */
  constructor(private readonly pick: (id: string) => void) {
    this.node = h('div', { class: 'adm-pareto-frame' }, this.svg as unknown as HTMLElement, this.tip);
    this.svg.addEventListener('keydown', (event) => this.key(event));
    this.sizes = typeof ResizeObserver === 'function' ? new ResizeObserver(() => this.fit()) : null;
    this.sizes?.observe(this.node);
  }

  dispose(): void {
    this.sizes?.disconnect();
  }

  update(scene: Scene): void {
    this.scene = scene;
    this.draw();
  }

  private fit(): void {
    if (this.node.clientWidth !== this.width) this.draw();
  }

  private draw(): void {
    const { scene } = this;
    if (scene === null) return;
    this.width = this.node.clientWidth;
    const wide = Math.max(240, this.width || 640);
    const held = this.svg.contains(document.activeElement);
    setAttr(this.svg, 'aria-label', scene.label);
    setAttr(this.svg, 'viewBox', `0 0 ${wide} ${HEIGHT}`);
    setAttr(this.svg, 'height', String(HEIGHT));
    const xs = acrossOf(scene.spots.map((spot) => spot.x));
    const ys = upOf(scene);
    const x: Place = (value) => PAD.left + xs.share(value) * (wide - PAD.left - PAD.right);
    const y: Place = (value) => {
      const share = (Math.min(ys.to, Math.max(ys.from, value)) - ys.from) / (ys.to - ys.from);
      const up = scene.down ? 1 - share : share;
      return HEIGHT - PAD.bottom - up * (HEIGHT - PAD.bottom - PAD.top);
    };
    const most = Math.max(...scene.spots.map((spot) => spot.size ?? 0), 1);
    const spots = [...scene.spots].sort((a, b) => a.x - b.x || a.y - b.y);
    this.order = spots.map((spot) => spot.id);
    if (!spots.some((spot) => spot.id === this.active))
      this.active = (spots.find((spot) => spot.chosen) ?? spots[0])?.id ?? '';
    const room = wide - PAD.left - PAD.right;
    const fitting = xs.ticks.filter((_, i) => room > 300 || i % 2 === 0);
    this.svg.replaceChildren(
      ...ys.ticks.flatMap((tick) => [
        make('line', { class: 'adm-grid', x1: PAD.left, x2: wide - PAD.right, y1: y(tick), y2: y(tick) }),
        words(scene.yText(tick), PAD.left - 7, y(tick) + 3.5, 'end'),
      ]),
      ...fitting.map((tick) => words(scene.xText(tick), x(tick), HEIGHT - PAD.bottom + 15, 'middle')),
      words(`${scene.yName} ↑`, 4, 12, 'start'),
      words(`← ${scene.xName}`, wide - PAD.right, HEIGHT - 5, 'end'),
      make('path', { class: 'adm-front', d: frontOf(spots, scene.down, x, y) }),
      ...over(spots).map((spot) => this.circle(spot, x, y, most, ys)),
      ...spots.filter((spot) => spot.label !== '').map((spot) => label(spot, x, y, wide, most)),
    );
    if (held) this.spot(this.active)?.focus({ preventScroll: true });
    else setHidden(this.tip, true);
  }

  private circle(spot: Spot, x: Place, y: Place, most: number, ys: Up): SVGElement {
    const off = spot.y < ys.from || spot.y > ys.to;
    const [at, up] = [x(spot.x), y(spot.y)];
    const ends = [spot.low, spot.high].filter((end): end is number => end !== null).map(y);
    const group = make(
      'g',
      {
        class: `adm-spot adm-${spot.kind}${spot.chosen ? ' adm-chosen-spot' : ''}`,
        role: 'button',
        tabindex: spot.id === this.active ? 0 : -1,
        'data-id': spot.id,
        'aria-label': spot.tip.join(', '),
      },
      ends.length === 2
        ? make('line', { class: 'adm-whisker', x1: at, x2: at, y1: ends[0] ?? 0, y2: ends[1] ?? 0 })
        : null,
      off
        ? make('path', { d: `M${at - 6} ${up - 9}h12l-6 9z` })
        : make('circle', { cx: at, cy: up, r: radius(spot, most) }),
      spot.chosen ? make('circle', { class: 'adm-ring', cx: at, cy: up, r: radius(spot, most) + 4 }) : null,
      spot.kind === 'champion' ? make('circle', { class: 'adm-core', cx: at, cy: up, r: 2 }) : null,
    );
    const show = (): void => this.tell(spot, at, up);
    group.addEventListener('mouseenter', show);
    group.addEventListener('mouseleave', () => setHidden(this.tip, true));
    group.addEventListener('focus', () => {
      this.active = spot.id;
      show();
    });
    group.addEventListener('blur', () => setHidden(this.tip, true));
    group.addEventListener('click', () => this.pick(spot.id));
    return group;
  }

  private tell(spot: Spot, at: number, up: number): void {
    setText(this.tip, spot.tip.join('\n'));
    setHidden(this.tip, false);
    const wide = Math.max(240, this.width || 640);
    const right = at > wide / 2;
    this.tip.style.left = right ? 'auto' : `${at + 20}px`;
    this.tip.style.right = right ? `${wide - at + 20}px` : 'auto';
    this.tip.style.top = `${Math.max(0, Math.min(up - 20, HEIGHT - 110))}px`;
  }

  private spot(id: string): SVGElement | null {
    return (
      [...this.svg.querySelectorAll<SVGElement>('.adm-spot')].find((one) => one.dataset['id'] === id) ?? null
    );
  }

  private key(event: KeyboardEvent): void {
    const { order } = this;
    const at = order.indexOf(this.active);
    const last = order.length - 1;
    const to = {
      ArrowRight: at + 1,
      ArrowUp: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: at - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === 'Enter' || event.key === ' ') this.pick(this.active);
    else if (event.key === 'Escape' && !this.tip.hidden) setHidden(this.tip, true);
    else if (to !== undefined) {
      this.spot(this.active)?.setAttribute('tabindex', '-1');
      this.active = order[Math.max(0, Math.min(last, to))] ?? '';
      const next = this.spot(this.active);
      next?.setAttribute('tabindex', '0');
      next?.focus({ preventScroll: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** The small ones lie over the large, and the choice over all. */
function over(spots: readonly Spot[]): Spot[] {
  const rank = (spot: Spot): number => (spot.chosen ? -1 : (spot.size ?? 0));
  return [...spots].sort((a, b) => rank(b) - rank(a));
}

interface Up {
  from: number;
  to: number;
  ticks: number[];
}

/** The axis across: from zero, or logarithmic where values are far apart. */
function acrossOf(values: readonly number[]): { share: Place; ticks: number[] } {
  const [min, max] = [Math.min(...values), Math.max(...values)];
  if (min > 0 && max / min > FAR) {
    const bounds: Bounds = [min * 0.8, max * 1.2];
    const [low, high] = [Math.log(bounds[0]), Math.log(bounds[1])];
    return { share: (value) => (Math.log(value) - low) / (high - low), ticks: logTicks(bounds, 6) };
  }
  const bounds = zeroBounds(max * 1.04, Number.MIN_VALUE, null);
  return { share: (value) => value / bounds[1], ticks: zeroTicks(bounds) };
}

/** The axis upwards, around what serves and what passed; what is far worse stands at its edge. */
function upOf({ spots, down }: Scene): Up {
  const all = spots.map((spot) => spot.y);
  const good = spots.filter((spot) => spot.kind !== 'fell').map((spot) => spot.y);
  const near = good.length > 0 ? good : all;
  const [low, high] = [Math.min(...near), Math.max(...near)];
  const spread = Math.max(high - low, 0.01 * Math.max(Math.abs(low), Math.abs(high)), 1e-9);
  const from = down ? Math.min(...all) : Math.max(Math.min(...all), low - OFF * spread);
  const to = down ? Math.min(Math.max(...all), high + OFF * spread) : Math.max(...all);
  const room = 0.12 * Math.max(to - from, spread);
  const bounds = { from: from - room, to: to + room };
  const step = roundTo((bounds.to - bounds.from) / 6, true);
  const ticks: number[] = [];
  const most = !down && Math.max(...all) <= 1 ? 1 + 1e-9 : Infinity; // there is no accuracy above 1
  for (let i = Math.ceil(bounds.from / step); i * step <= Math.min(bounds.to, most); i += 1)
    ticks.push(Number((i * step).toPrecision(10)));
  return { ...bounds, ticks };
}

/** The line along those that are better than all that need less CPU, in steps. */
function frontOf(spots: readonly Spot[], down: boolean, x: Place, y: Place): string {
  let best = -Infinity;
  let path = '';
  for (const spot of spots) {
    const worth = down ? -spot.y : spot.y;
    if (!spot.front || worth <= best) continue;
    best = worth;
    path += path === '' ? `M${x(spot.x)} ${y(spot.y)}` : `H${x(spot.x)}V${y(spot.y)}`;
  }
  return path;
}

function radius({ size }: Spot, most: number): number {
  return size === null ? SMALLEST : Math.max(SMALLEST, LARGEST * Math.sqrt(size / most));
}

function label(spot: Spot, x: Place, y: Place, wide: number, most: number): SVGElement {
  const right = x(spot.x) < 0.6 * wide;
  const far = radius(spot, most) + (spot.chosen ? 8 : 4);
  const node = words(spot.label, x(spot.x) + (right ? far : -far), y(spot.y) + 4, right ? 'start' : 'end');
  node.setAttribute('class', 'adm-spot-label');
  return node;
}

function words(text: string, x: number, y: number, anchor: string): SVGElement {
  const node = make('text', { x, y, 'text-anchor': anchor, 'aria-hidden': 'true' });
  node.textContent = text;
  return node;
}

function make<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attrs: Record<string, string | number>,
  ...children: (SVGElement | null)[]
): SVGElementTagNameMap[K] {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, String(value));
  node.append(...children.filter((child): child is SVGElement => child !== null));
  return node;
}
