// The records of autodeploy_magic/retuning.py, one to one: what a re-tune tried, what was measured, what passed, and why.

import type { Json } from './types';

/** Run it better: the answers stay. Smaller: they may move within a budget. Better: they should improve. */
export type Family = 'run' | 'smaller' | 'better';
export type Goal = 'auto' | 'latency' | 'size' | 'quality';
export type Promote = 'ask' | 'auto';
export type RetuneState = 'running' | 'done' | 'cancelled' | 'failed';
export type ContenderState =
  'waiting' | 'making' | 'measuring' | 'passed' | 'fell' | 'failed' | 'skipped' | 'champion';

/** What is asked of a re-tune. `max_loss` is a share: 0.005 is half a percentage point of accuracy. */
export interface Order {
  goal: Goal;
  budget_s: number;
  max_loss: number;
  promote: Promote;
  seed: number;
  /** "button", "schedule", "incident ID" or "replay ID". */
  trigger: string;
  replay: string;
}

/** How a version is run. */
export interface Layout {
  workers: number;
  settings: Record<string, number>;
}

/** What was measured of a contender; null: not measured, or not to be had. */
export interface Figures {
  /** The leading figure of the task, on `labelled` held-out rows, with its 95 % interval. */
  metric: string;
  value: number | null;
  low: number | null;
  high: number | null;
  labelled: number;
  metrics: Record<string, number>;
  /** The share of `rows` that are answered as the champion does. */
  agreement: number | null;
  difference: number | null;
  cosine: number | null;
  rows: number;
  /** Of a mean request of the recorded mix. */
  cpu_s: number | null;
  one_row_s: number | null;
  batch_s: number | null;
  batch_rows: number;
  p50_s: number | null;
  p95_s: number | null;
  p99_s: number | null;
  size_bytes: number | null;
  packed_bytes: number | null;
  memory_bytes: number | null;
}

/** One condition of the gate, in words with the numbers. */
export interface Check {
  name: string;
  passed: boolean;
  text: string;
}

/** One candidate; the champion is "c0". `front`: no other that passed is better in all of metric, CPU and size. */
export interface Contender {
  id: string;
  optimiser: string;
  title: string;
  family: Family;
  state: ContenderState;
  settings: Record<string, Json>;
  base: string;
  reason: string;
  note: string;
  figures: Figures;
  checks: Check[];
  layout: Layout | null;
  front: boolean;
  version: number;
  digest: string;
  seconds: number;
}

/** The data of a re-tune, in rows; `notes` say what was missing, and what was taken instead. */
export interface DataUsed {
  training: number;
  held_out: number;
  calibration: number;
  requests: number;
  from_s: number;
  until_s: number;
  digest: string;
  sources: string[];
  notes: string[];
}

/** One re-tune, from its order to its outcome. `chosen` "c0" keeps the champion; `promoted` is what was taken. */
export interface Retune {
  schema: number;
  id: string;
  name: string;
  order: Order;
  state: RetuneState;
  /** The version that it began with, run as `layout`. */
  champion: number;
  layout: Layout;
  step: string;
  started_s: number;
  ended_s: number;
  data: DataUsed;
  contenders: Contender[];
  best: string;
  chosen: string;
  outcome: string;
  error: string;
  promoted: string;
  promoted_s: number;
  bakes_until_s: number;
  undone: boolean;
}
