// What a line of a chart shows at a slot: a column as it was measured, or its share of all requests.

import type { Column } from '../api/types';
import type { Colour } from './palette';
import type { TimeGrid, Values } from './window';

export interface LineSpec {
  column: Column;
  label: string;
  colour: Colour;
  /** Dashes in CSS pixels: colour is never the only sign. */
  dash?: readonly number[];
  width?: number;
  fill?: boolean;
  /** As a share of all requests. */
  share?: boolean;
  /** Not drawn while it is zero: errors that are not there need no line. */
  quiet?: boolean;
}

/** The line's value in a slot; null where it was not measured. */
export function valueAt(grid: TimeGrid, line: LineSpec, slot: number): number | null {
  const value = grid.column(line.column)[slot] ?? null;
  if (value === null || line.share !== true) return value;
  const all = grid.column('requests_per_s')[slot] ?? null;
  if (all === null) return null;
  return all > 0 ? value / all : 0;
}

/** What is drawn of a line: the grid's own values, or `into` filled with what is derived from them. */
export function drawnValues(grid: TimeGrid, line: LineSpec, into: Values): Values {
  if (line.quiet !== true && line.share !== true) return grid.column(line.column);
  into.length = grid.count;
  for (let slot = 0; slot < grid.count; slot += 1) into[slot] = valueAt(grid, line, slot);
  if (line.quiet !== true) return into;
  // A stretch of zeros goes; one beside a value stays, so that the line rises from the ground.
  let before: number | null = null;
  for (let slot = 0; slot < grid.count; slot += 1) {
    const value = into[slot] ?? null;
    if (!value && !before && !into[slot + 1]) into[slot] = null;
    before = value;
  }
  return into;
}
