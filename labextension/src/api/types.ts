// The records of autodeploy_magic/live.py and of contracts.py that a page sees, one to one.
// tests/golden/live.json holds one of each. Units are in the names: `_s` seconds, `_bytes` bytes.

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
  | 'restarted'
  | 'started'
  | 'stopped'
  | 'worker_died'
  | 'failed'
  | 'incident';
export type Severity = 'info' | 'warning' | 'critical';
export type SloState = 'unset' | 'met' | 'burning' | 'broken';
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
  state: 'running' | 'done' | 'failed';
  started_s: number;
  steps: Progress[];
  error: string;
  where: 'supervisor' | 'kernel';
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
  alerts: LiveEvent[];
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
  image: string;
  engine: string;
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
