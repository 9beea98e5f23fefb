// The figures of the last ten seconds.

import type { Ring } from '../api/ring';
import type { Column, Series } from '../api/types';
import { h, setAttr, setClass, setHidden, setText } from './dom';
import { coresText, countText, durationText, percentText, rateText, sizeText, UNKNOWN } from './format';
import { disable, type Context, type Part } from './part';
import { leading, qualityDialog } from './quality';

/** What the tiles are over, in seconds; they say so. */
export const TILE_S = 10;

export interface Figures {
  /** The median of the seconds' medians, each weighing what it answered. */
  p50: number | null;
  /** The highest p99 of one second: what all ten together have is not above it. */
  p99: number | null;
  requests: number | null;
  /** Failed (5xx) of all. */
  errors: number | null;
  refused: number | null;
  memory: number | null;
  cpu: number | null;
  disk: number | null;
  inFlight: number | null;
  waiting: number | null;
}

/** The figures of some seconds; `of` gives a column's values in them. */
export function figuresOf(of: (column: Column) => (number | null)[]): Figures {
  const requests = of('requests_per_s');
  const total = sum(requests);
  const share = (column: Column): number | null => {
    const part = sum(of(column));
    return total !== null && total > 0 && part !== null ? part / total : null;
  };
  return {
    p50: weightedMedian(of('p50_s'), requests),
    p99: most(of('p99_s')),
    requests: mean(requests),
    errors: share('failed_per_s'),
    refused: share('refused_per_s'),
    memory: last(of('memory_bytes')),
    cpu: mean(of('cpu_cores')),
    disk: last(of('disk_free_bytes')),
    inFlight: most(of('in_flight')),
    waiting: most(of('waiting')),
  };
}

/** Those of the last seconds of a ring, up to the supervisor's `nowS`. */
export function ringFigures(ring: Ring, nowS: number): Figures {
  const end = Math.max(ring.last, Math.floor(nowS) - 3);
  return figuresOf((column) => ring.recent(column, TILE_S, end));
}

/** Those of the end of a saved series. */
export function seriesFigures(series: Series): Figures {
  const slots = Math.max(1, Math.round(TILE_S / series.step_s));
  return figuresOf((column) => (series.values[series.columns.indexOf(column)] ?? []).slice(-slots));
}

interface Tile {
  value: HTMLElement;
  label: HTMLElement;
  read: (figures: Figures) => string;
  tone?: (figures: Figures) => string;
}

export class Tiles implements Part {
  readonly node: HTMLElement;
  private readonly tiles: Tile[] = [];
  private readonly quality: { node: HTMLElement; button: HTMLButtonElement; label: HTMLElement };

  constructor(private readonly context: Context) {
    const { trans } = context;
    const over = trans('of the last %1 s', TILE_S);
    const list = h('dl', { class: 'adm-tiles', attrs: { 'aria-label': trans('Figures %1', over) } });
    const add = (label: string, title: string, read: Tile['read'], tone?: Tile['tone']): void => {
      const tile: Tile = {
        value: h('dd', { text: UNKNOWN }),
        label: h('dt', { text: label }),
        read,
        ...(tone === undefined ? {} : { tone }),
      };
      list.append(h('div', { class: 'adm-tile', title }, tile.label, tile.value));
      this.tiles.push(tile);
    };
    add('p50', trans('Half of the requests were answered within this, %1', over), (f) => durationText(f.p50));
    add('p99', trans('The highest 99th percentile of one second, %1', over), (f) => durationText(f.p99));
    add(trans('requests'), trans('Requests a second, mean %1', over), (f) => rateText(f.requests));
    add(
      trans('errors'),
      trans('Answered 5xx of all requests %1', over),
      (f) => percentText(f.errors ?? (f.requests === 0 ? 0 : null)),
      (f) => ((f.errors ?? 0) > 0 ? 'bad' : ''),
    );
    this.quality = this.qualityTile();
    list.append(this.quality.node);
    add(trans('memory'), trans('Resident memory of its processes, the latest'), (f) => sizeText(f.memory));
    add(trans('of one core'), trans('CPU of its processes, mean %1', over), (f) => coresText(f.cpu));
    add(trans('disk free'), trans('Free on the disk of the state folder, the latest'), (f) =>
      sizeText(f.disk),
    );
    add(trans('in flight · queued'), trans('The most at a time, %1', over), (f) =>
      f.inFlight === null ? UNKNOWN : `${countText(f.inFlight)} · ${countText(f.waiting ?? 0)}`,
    );
    this.node = h(
      'section',
      { class: 'adm-row adm-numbers', attrs: { 'aria-label': trans('Figures') } },
      list,
      h('span', { class: 'adm-mut adm-over', text: trans('last %1 s', TILE_S) }),
    );
  }

  update(): void {
    const { model, trans } = this.context;
    const { history } = model.saved;
    disable(this.quality.button, model.link === 'live' ? '' : trans('There is no connection'));
    if (model.link === 'lost' || model.link === 'away' || model.link === 'gone') return; // the last known stay
    this.showQuality();
    const figures =
      model.link === 'saved'
        ? figuresOf(() => [])
        : ringFigures(model.store.points(model.name), model.store.now());
    this.show(model.link === 'saved' && history !== null ? seriesFigures(history) : figures);
  }

  /** How right it answers: pressed, it shows everything behind the figure. */
  private qualityTile(): { node: HTMLElement; button: HTMLButtonElement; label: HTMLElement } {
    const { trans } = this.context;
    const label = h('dt');
    const button = h('button', {
      class: 'adm-tile-button',
      attrs: { type: 'button', 'aria-haspopup': 'dialog' },
      on: { click: () => this.context.model.link === 'live' && qualityDialog(this.context) },
    });
    button.dataset['title'] = trans('How right it answers: figures, labels, and labelling');
    return { node: h('div', { class: 'adm-tile', hidden: true }, label, h('dd', {}, button)), button, label };
  }

  private showQuality(): void {
    const { node, button, label } = this.quality;
    const found = leading(this.context);
    setHidden(node, found === null);
    if (found === null) return;
    setText(button, found.value);
    setText(label, found.label);
    setAttr(button, 'aria-label', `${found.value}, ${found.label}`);
    setClass(node, `adm-tile${found.estimated ? ' adm-estimate' : ''}`);
  }

  private show(figures: Figures): void {
    for (const { value, read, tone } of this.tiles) {
      setText(value, read(figures));
      setAttr(value, 'class', tone?.(figures) === 'bad' ? 'adm-bad' : null);
    }
  }
}

function known(values: (number | null)[]): number[] {
  return values.filter((value): value is number => value !== null);
}

function sum(values: (number | null)[]): number | null {
  const found = known(values);
  return found.length > 0 ? found.reduce((total, value) => total + value, 0) : null;
}

function mean(values: (number | null)[]): number | null {
  const total = sum(values);
  return total === null ? null : total / known(values).length;
}

function most(values: (number | null)[]): number | null {
  const found = known(values);
  return found.length > 0 ? Math.max(...found) : null;
}

function last(values: (number | null)[]): number | null {
  return known(values).at(-1) ?? null;
}

function weightedMedian(values: (number | null)[], weights: (number | null)[]): number | null {
  const pairs: [number, number][] = [];
  values.forEach((value, i) => {
    if (value !== null) pairs.push([value, weights[i] ?? 0]);
  });
  pairs.sort((a, b) => a[0] - b[0]);
  const half = pairs.reduce((total, [, weight]) => total + weight, 0) / 2;
  let below = 0;
  for (const [value, weight] of pairs) {
    below += weight;
    if (below >= half) return value;
  }
  return null;
}
