// Which charts there are, and what is on each.

import type { Trans } from '../api/transport';
import { coresText, countText, durationText, percentText, rateText, sizeText } from '../panel/format';
import type { LineSpec } from './lines';
import { logBounds, logTicks, zeroBounds, zeroTicks, type Bounds } from './scales';

export interface PlotSpec {
  id: string;
  title: string;
  unit: string;
  lines: readonly LineSpec[];
  log: boolean;
  /** Height in CSS pixels without the time axis. */
  height: number;
  /** Where it stands: the wide column, the narrow one, or among those that the reader unfolds. */
  place: 'main' | 'side' | 'more';
  value(value: number | null): string;
  tick(value: number): string;
  bounds(min: number | null, max: number | null, limit: number | null, before: Bounds | null): Bounds;
  ticks(bounds: Bounds): number[];
  /** Shown only where something was measured. */
  optional?: boolean;
}

type Short = Omit<PlotSpec, 'unit' | 'log' | 'bounds' | 'ticks'> & {
  unit?: string;
  least: number;
  most?: number;
};

function zeroBased({ least, most, ...rest }: Short): PlotSpec {
  return {
    unit: '',
    log: false,
    ...rest,
    bounds: (_min, max, _limit, before) => {
      const bounds = zeroBounds(max, least, before);
      return most === undefined ? bounds : [0, Math.min(bounds[1], most)];
    },
    ticks: zeroTicks,
  };
}

const P50 = [2, 2];
const P95 = [7, 3];
const SECOND = [5, 3];
/** Up to a second in milliseconds: the axis has one unit. */
const latencyTick = (value: number): string =>
  value < 0.9999 ? `${Number((value * 1e3).toPrecision(2))} ms` : `${Number(value.toPrecision(2))} s`;
const tenths = (value: number): string => (value === 0 ? '0' : countText(value));
const bytesPerSecond = (value: number | null): string =>
  value === null ? sizeText(value) : `${sizeText(value)}/s`;
const sizeTick = (value: number): string => (value === 0 ? '0' : sizeText(value).replace(/\.0 /, ' '));

export function plotSpecs(trans: Trans): PlotSpec[] {
  return [
    {
      id: 'latency',
      title: trans('Latency'),
      unit: trans('log scale'),
      place: 'main',
      height: 140,
      log: true,
      lines: [
        { column: 'p99_s', label: 'p99', colour: 'c3', width: 1.5 },
        { column: 'p95_s', label: 'p95', colour: 'c2', dash: P95, width: 1.5 },
        { column: 'p50_s', label: 'p50', colour: 'c1', dash: P50, width: 1.75 },
      ],
      value: durationText,
      tick: latencyTick,
      bounds: logBounds,
      ticks: (bounds) => logTicks(bounds, 5),
    },
    zeroBased({
      id: 'requests',
      title: trans('Requests'),
      unit: trans('a second'),
      place: 'main',
      height: 52,
      least: 1,
      lines: [{ column: 'requests_per_s', label: trans('requests'), colour: 'c1', fill: true }],
      value: rateText,
      tick: tenths,
    }),
    zeroBased({
      id: 'errors',
      title: trans('Errors'),
      unit: trans('of the requests'),
      place: 'main',
      height: 46,
      least: 0.01,
      most: 1,
      lines: [
        {
          column: 'refused_per_s',
          label: trans('refused'),
          colour: 'c3',
          dash: SECOND,
          share: true,
          quiet: true,
        },
        {
          column: 'failed_per_s',
          label: trans('failed'),
          colour: 'bad',
          width: 1.75,
          fill: true,
          share: true,
          quiet: true,
        },
      ],
      value: percentText,
      tick: (value) => (value === 0 ? '0' : `${Number((100 * value).toPrecision(2))} %`),
    }),
    zeroBased({
      id: 'cpu',
      title: trans('CPU'),
      unit: trans('of one core'),
      place: 'side',
      height: 64,
      least: 0.1,
      lines: [{ column: 'cpu_cores', label: trans('CPU'), colour: 'c1', fill: true }],
      value: coresText,
      tick: (value) => (value === 0 ? '0' : coresText(value)),
    }),
    zeroBased({
      id: 'memory',
      title: trans('Memory'),
      place: 'side',
      height: 64,
      least: 1e7,
      lines: [{ column: 'memory_bytes', label: trans('memory'), colour: 'c2', fill: true }],
      value: sizeText,
      tick: sizeTick,
    }),
    zeroBased({
      id: 'disk',
      title: trans('Disk'),
      unit: trans('free'),
      place: 'side',
      height: 64,
      least: 1e6,
      lines: [{ column: 'disk_free_bytes', label: trans('free'), colour: 'c4', fill: true }],
      value: sizeText,
      tick: sizeTick,
    }),
    zeroBased({
      id: 'queue',
      title: trans('Queue'),
      place: 'more',
      height: 52,
      least: 2,
      lines: [
        { column: 'in_flight', label: trans('in flight'), colour: 'c1', fill: true },
        { column: 'waiting', label: trans('waiting'), colour: 'c3', dash: SECOND },
      ],
      value: countText,
      tick: tenths,
    }),
    zeroBased({
      id: 'network',
      title: trans('Network'),
      place: 'more',
      height: 52,
      least: 1000,
      lines: [
        { column: 'bytes_in_per_s', label: trans('in'), colour: 'c1' },
        { column: 'bytes_out_per_s', label: trans('out'), colour: 'c2', dash: P95 },
      ],
      value: bytesPerSecond,
      tick: sizeTick,
    }),
    zeroBased({
      id: 'used',
      title: trans('Disk used'),
      place: 'more',
      height: 52,
      least: 1e6,
      lines: [{ column: 'disk_bytes', label: trans('used'), colour: 'c4', fill: true }],
      value: sizeText,
      tick: sizeTick,
    }),
    zeroBased({
      id: 'gpu',
      title: trans('GPU'),
      place: 'more',
      height: 52,
      least: 0.1,
      most: 1,
      optional: true,
      lines: [{ column: 'gpu_share', label: trans('GPU'), colour: 'c1', fill: true }],
      value: percentText,
      tick: (value) => (value === 0 ? '0' : percentText(value)),
    }),
    zeroBased({
      id: 'gpu-memory',
      title: trans('GPU memory'),
      place: 'more',
      height: 52,
      least: 1e8,
      optional: true,
      lines: [{ column: 'gpu_memory_bytes', label: trans('memory'), colour: 'c2', fill: true }],
      value: sizeText,
      tick: sizeTick,
    }),
  ];
}
