// The charts as figures: a table for who reads it rather than sees it, and CSV for who computes with it.

import type { Trans } from '../api/transport';
import { COLUMNS, type Column } from '../api/types';
import { h } from '../panel/dom';
import { clockText, coresText, durationText, momentText, rateText, sizeText } from '../panel/format';
import type { Frame } from './plot';
import type { Values } from './window';

const ROWS = 12;

interface FigureColumn {
  head: string;
  column: Column;
  of: (values: number[]) => number;
  text: (value: number | null) => string;
}

/** A table of the time that is shown, in a dozen rows. */
export function figuresTable(frame: Frame, nowS: number, trans: Trans): HTMLElement {
  const columns: FigureColumn[] = [
    { head: trans('requests'), column: 'requests_per_s', of: mean, text: rateText },
    { head: trans('failed'), column: 'failed_per_s', of: mean, text: rateText },
    { head: trans('median p50'), column: 'p50_s', of: median, text: durationText },
    { head: trans('highest p95'), column: 'p95_s', of: highest, text: durationText },
    { head: trans('highest p99'), column: 'p99_s', of: highest, text: durationText },
    { head: trans('CPU'), column: 'cpu_cores', of: mean, text: coresText },
    { head: trans('memory'), column: 'memory_bytes', of: highest, text: sizeText },
    { head: trans('disk free'), column: 'disk_free_bytes', of: lowest, text: sizeText },
  ];
  const [first, last] = slots(frame);
  const count = last - first + 1;
  const rows = Math.min(ROWS, count);
  const body = Array.from({ length: rows }, (_, row) => {
    const from = first + Math.floor((row * count) / rows);
    const to = first + Math.floor(((row + 1) * count) / rows);
    const cells = columns.map(({ column, of, text }) => {
      const known = known_(frame.grid.column(column), from, to);
      return h('td', { class: 'adm-num', text: text(known.length > 0 ? of(known) : null) });
    });
    const time = momentText(frame.grid.times[from] ?? 0, nowS, frame.grid.step * (to - from) < 60);
    return h('tr', {}, h('th', { text: time, attrs: { scope: 'row' } }), ...cells);
  });
  const head = [trans('from'), ...columns.map(({ head: word }) => word)];
  return h(
    'table',
    { class: 'adm-table' },
    h('caption', {
      class: 'adm-mut',
      text: trans('Rates and CPU are means, memory is the greatest and disk the least of each row’s time.'),
    }),
    h('thead', {}, h('tr', {}, ...head.map((word) => h('th', { text: word, attrs: { scope: 'col' } })))),
    h('tbody', {}, ...body),
  );
}

/** Everything that is shown, one line a slot; what was not measured is empty. */
export function figuresCsv(frame: Frame): string {
  const [first, last] = slots(frame);
  const lines = [['time', ...COLUMNS].join(',')];
  for (let i = first; i <= last; i += 1) {
    const time = new Date((frame.grid.times[i] ?? 0) * 1000).toISOString();
    lines.push([time, ...COLUMNS.map((column) => frame.grid.column(column)[i] ?? '')].join(','));
  }
  return `${lines.join('\n')}\n`;
}

/** What was in one slot, in words. */
export function slotText(frame: Frame, t: number): string {
  const slot = frame.grid.slot(t);
  if (slot === null) return '';
  const at = (column: Column): number | null => frame.grid.column(column)[slot] ?? null;
  return [
    clockText(t),
    `p50 ${durationText(at('p50_s'))}`,
    `p95 ${durationText(at('p95_s'))}`,
    `p99 ${durationText(at('p99_s'))}`,
    rateText(at('requests_per_s')),
    `CPU ${coresText(at('cpu_cores'))}`,
    sizeText(at('memory_bytes')),
  ].join(', ');
}

function slots(frame: Frame): [number, number] {
  return [frame.grid.slot(frame.from) ?? 0, frame.grid.slot(frame.to) ?? frame.grid.count - 1];
}

function known_(values: Values, from: number, to: number): number[] {
  return values.slice(from, to).filter((value): value is number => value !== null);
}

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const highest = (values: number[]): number => Math.max(...values);
const lowest = (values: number[]): number => Math.min(...values);
const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
