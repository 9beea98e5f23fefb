// The records of autodeploy_magic/live.py, health.py and contracts.py that a page sees, one to one; re-tunes: retunes.ts.
// tests/golden/live.json holds one of each. Units are in the names: `_s` seconds, `_bytes` bytes.

import type { Retune } from './retunes';

export const COLUMNS = [
  'requests_per_s',
  'refused_per_s',
  'failed_per_s',
  'p50_s',
  'p95_s',
  'p99_s',
  'in_flight',
  'waiting',
  'bytes_in_per_s',
  'bytes_out_per_s',
  'cpu_cores',
  'memory_bytes',
  'disk_bytes',
  'disk_free_bytes',
  'gpu_share',
  'gpu_memory_bytes',
] as const;

/** What a point tells. `requests_per_s` counts those that were refused (4xx) or failed (5xx) too. */
export type Column = (typeof COLUMNS)[number];

export type State = 'starting' | 'running' | 'degraded' | 'failed' | 'stopped';
export type Kind =
  | 'deployed'
  | 'swapped'
  | 'rolled_back'
  | 'promoted'
  | 'canary'
  | 'shadow'
  | 'traffic'
  | 'scaled'
  | 'tuned'
  | 'retuned'
  | 'shipped'
  | 'restarted'
  | 'slo'
  | 'recovery'
  | 'alert'
  | 'started'
  | 'stopped'
  | 'worker_died'
  | 'failed'
  | 'incident';
export type Severity = 'info' | 'warning' | 'critical';
export type SloState = 'unset' | 'met' | 'burning' | 'broken';
/** What is done about a fault: nothing, an action is proposed, or it is taken where its rule allows that. */
export type Recovery = 'off' | 'suggest' | 'act';
export type Trust = 'green' | 'amber' | '';

/** A JSON value. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

export interface Traffic {
  canary: number;
  share: number;
  shadow: number;
  loaded: number[];
  since: number;
}

export interface WorkerState {
  pid: number;
  create_time: number;
  boot_id: string;
  generation: number;
  version: number;
  ready: boolean;
}

export interface Status {
  name: string;
  state: State;
  version: number;
  generation: number;
  url: string;
  workers: WorkerState[];
  desired_workers: number;
  reason: string;
  format: string;
  since: number;
  traffic: Traffic;
  grpc_url: string;
  auth: boolean;
  certificate_until: number;
}

/** One event of a long job; `seconds` is what the step took, once it is done. */
export interface Progress {
  step: string;
  state: 'started' | 'done' | 'failed' | 'skipped';
  seconds: number;
  detail: string;
}

/** One format of the model, as the build measured it. */
export interface Candidate {
  format: string;
  passed: boolean;
  reason: string;
  size_bytes: number;
  agreement: number | null;
  max_difference: number | null;
  one_row_s: number | null;
  batch_s: number | null;
  batch_rows: number;
}

/** One second of a deployment: `t` in seconds since the epoch, `v` in the order of the stream's columns. */
export interface Point {
  name: string;
  t: number;
  v: (number | null)[];
}

/** A window: point i covers `step_s` seconds from `start_s` + i × `step_s`; one list for each of `columns`. */
export interface Series {
  name: string;
  start_s: number;
  step_s: number;
  columns: string[];
  values: (number | null)[][];
}

/** Something that happened to a deployment: `Event` in Python; the browser has an Event already. */
export interface LiveEvent {
  id: number;
  name: string;
  at_s: number;
  kind: Kind;
  severity: Severity;
  version: number;
  text: string;
}

/** A long job with its steps so far. */
export interface Activity {
  id: string;
  name: string;
  title: string;
  state: 'running' | 'done' | 'failed' | 'cancelled';
  started_s: number;
  steps: Progress[];
  error: string;
  where: 'supervisor' | 'kernel';
  /** The last lines of the tools that it runs. */
  log?: string[];
}

/** A deployment in one line. */
export interface Glance {
  status: Status;
  framework: string;
  model_type: string;
  task: string;
  trust: Trust;
  slo: string;
  slo_state: SloState;
  /** Those that fire and are not silenced. */
  alerts: Alert[];
  /** The leading figure in words: "F1 0.931, 412 labels"; "" where there is none. */
  quality: string;
  recovery: Recovery;
  /** What a re-tune that runs is at: "re-tuning: 7 of 19, int8, dynamic"; "" where none does. */
  retune: string;
  changed_s: number;
  local: boolean;
}

export interface VersionLine {
  number: number;
  created_at: string;
  format: string;
  note: string;
  role: 'champion' | 'canary' | 'shadow' | 'loaded' | '';
  size_bytes: number;
  trust: 'green' | 'amber';
}

/** A setting that can be changed while it serves. */
export interface Knob {
  name: string;
  value: number;
  default: number;
  unit: string;
  help: string;
}

/** Everything the panel shows of one deployment, besides its points. */
export interface View {
  glance: Glance;
  versions: VersionLine[];
  events: LiveEvent[];
  snippets: Record<string, string>;
  candidates: Candidate[];
  knobs: Knob[];
  rollback_to: number;
  cores: number;
  engines: string[];
  /** The last ones, newest first; a notebook that was saved earlier has none. */
  retunes?: Retune[];
}

/** A row of the sample, sent as a client would. */
export interface Probe {
  status: number;
  seconds: number;
  request: Json;
  answer: Json;
  version: number;
  as_verified: boolean | null;
}

/** What POST …/containerize answers. */
export interface Image {
  name: string;
  engine: string;
  /** The path of an OCI archive; "" for an image that an engine has. */
  archive: string;
  size_bytes: number;
  rows: number;
  /** Lines for a shell that run it. */
  run: string[];
}

/** An option of a place to ship to. `default` is written as a person would type it. */
export interface OfferedOption {
  name: string;
  help: string;
  kind: 'text' | 'whole' | 'number' | 'yes_no';
  default: string;
  /** The only values, where there are any. */
  choices: string[];
  required: boolean;
}

/** A place that a version can go to; one that is `at_once` serves there, too. */
export interface OfferedTarget {
  name: string;
  about: string;
  options: OfferedOption[];
  image: 'needed' | 'named' | 'none';
  at_once: boolean;
}

/** What GET …/targets answers. `broken` are those that cannot be used, each with the reason. */
export interface Offer {
  deployment: string;
  version: number;
  /** What the image that was built last is called; "" where none was. */
  image: string;
  targets: OfferedTarget[];
  broken: string[];
}

/** What POST …/ship is given; see autodeploy_magic/shipping.py. */
export interface Shipment {
  target: string;
  folder: string;
  image: string;
  options: Record<string, string>;
  replace: boolean;
}

/** What POST …/ship answers: files relative to `folder`, and where it answers of a place that serves at once. */
export interface Shipped {
  target: string;
  version: number;
  folder: string;
  files: string[];
  notes: string[];
  next: string[];
  url: string;
}

export interface Hello {
  now_s: number;
  release: string;
  columns: string[];
}

/** One line of the stream: one of its fields is set, the others are left out. */
export interface Message {
  hello?: Hello;
  glances?: Glance[];
  gone?: string[];
  point?: Point;
  event?: LiveEvent;
  activity?: Activity;
  retune?: Retune;
  activities?: Activity[];
  beat?: boolean;
}

/** An error as it crosses a wire. */
export interface ErrorPayload {
  error: string;
  what: string;
  why: string;
  fix: string;
  details?: Record<string, Json>;
}

/** A fault that people are told of, from its first second to its last. */
export interface Alert {
  id: string;
  name: string;
  rule: string;
  detector: string;
  metric: string;
  severity: Severity;
  state: 'firing' | 'resolved';
  text: string;
  value: number | null;
  limit: number | null;
  version: number;
  worker: number;
  request: string;
  objective: '' | 'given' | 'learned';
  since_s: number;
  until_s: number;
  times: number;
  silenced_until_s: number;
  drill: boolean;
  incident: string;
}

/** What was done about a fault: metric → rule → action → result, with the figures before and after by metric. */
export interface Incident {
  id: string;
  name: string;
  rule: string;
  metric: string;
  severity: Severity;
  text: string;
  opened_s: number;
  acted_s: number;
  closed_s: number;
  action: string;
  did: string;
  why: string;
  outcome: 'open' | 'suggested' | 'helped' | 'resolved' | 'no_help' | 'undone' | 'failed' | 'held';
  before: Record<string, number | null>;
  after: Record<string, number | null>;
  version: number;
  request: string;
  undo: boolean;
  drill: boolean;
}

/** One objective as it is now. `burn_*` and `budget_left` (0 to 1) are null for one that has no error budget. */
export interface ObjectiveState {
  text: string;
  metric: string;
  state: 'unknown' | 'met' | 'burning' | 'broken';
  limit: number;
  value: number | null;
  burn_fast: number | null;
  burn_slow: number | null;
  budget_left: number | null;
  learned: boolean;
}

/** One measure of quality with its 95 % confidence interval; `estimated` needed no label. */
export interface Figure {
  metric: string;
  value: number;
  low: number | null;
  high: number | null;
  labels: number;
  estimated: boolean;
}

/** `counts[true][answered]`, in the order of `classes`. */
export interface Confusion {
  classes: string[];
  counts: number[][];
}

export interface Slice {
  column: string;
  value: string;
  labels: number;
  figures: Figure[];
}

/** How right a deployment answers; `version` 0 is all versions together. */
export interface Quality {
  name: string;
  version: number;
  task: string;
  labels: number;
  answered: number;
  late: number;
  changed: number;
  unmatched: number;
  window: number;
  figures: Figure[];
  estimated: Figure[];
  confusion: Confusion | null;
  slices: Slice[];
  versions: Quality[];
}

export interface ColumnDrift {
  column: string;
  method: string;
  value: number;
  limit: number;
  state: 'same' | 'drifting' | 'drifted';
  p_value: number | null;
  rows: number;
  reference: number;
  text: string;
}

/** A row that was answered and has no label yet. */
export interface Unlabelled {
  request: string;
  row: number;
  at_s: number;
  version: number;
  inputs: Record<string, Json>;
  prediction: Json;
  confidence: number | null;
}

/** What GET …/unlabelled answers; no classes: any value may be the label. */
export interface ToLabel {
  rows: Unlabelled[];
  classes: string[];
}

/** Everything of how one deployment does. `faults` are parts of the watch itself that failed, by name. */
export interface Health {
  name: string;
  slo: string;
  slo_state: SloState;
  objectives: ObjectiveState[];
  recovery: Recovery;
  alerts: Alert[];
  incidents: Incident[];
  quality: Quality | null;
  drift: ColumnDrift[];
  faults: Record<string, string>;
}

/** How a fault that was caused on purpose was noticed and healed; null for what did not happen in time. */
export interface Drill {
  kind: string;
  detected_s: number | null;
  recovered_s: number | null;
  requests: number;
  lost: number;
  text: string;
}

/** A cell that asks the live object what a request asked. */
export interface Repro {
  code: string;
  request: string;
}
