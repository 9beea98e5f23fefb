// One chart as the panel sees it; what draws it can be another than uPlot (a test has no canvas).

import type { Column } from '../api/types';
import type { Mark } from './marks';
import type { Outage } from './outage';
import type { Colours } from './palette';
import type { PlotSpec } from './specs';
import type { TimeGrid } from './window';

/** What is to be drawn. Times are seconds since the epoch. */
export interface Frame {
  grid: TimeGrid;
  from: number;
  to: number;
  marks: readonly Mark[];
  outages: readonly (Outage & { label: string })[];
  /** A line at the SLO's greatest latency. */
  limit: { seconds: number; text: string } | null;
  hidden: ReadonlySet<Column>;
}

export interface PlotEvents {
  /** The reader points at a time; null when no longer. */
  hover(t: number | null): void;
  zoom(from: number, to: number): void;
  reset(): void;
}

export interface Plot {
  update(frame: Frame): void;
  /** Show the crosshair at a time. */
  hover(t: number | null): void;
  resize(width: number): void;
  recolour(colours: Colours): void;
  dispose(): void;
}

export type PlotMaker = (
  host: HTMLElement,
  spec: PlotSpec,
  /** Whether it has the time axis below it. */
  axis: boolean,
  colours: Colours,
  events: PlotEvents,
) => Plot;

/** The height of a chart with its time axis, in CSS pixels. */
export const AXIS_HEIGHT = 20;
