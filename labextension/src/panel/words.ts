// States, formats and roles as words; a colour is beside a word, never alone.

import type { Glance, State, VersionLine } from '../api/types';
import { h } from './dom';
import { ageText, shareText } from './format';
import type { Context } from './part';

export type Tone = 'ok' | 'warn' | 'bad' | 'mut';

/** How a state looks: its colour is beside its word, never alone. */
export function toneOf(state: State | null): Tone {
  if (state === null || state === 'stopped') return 'mut';
  return state === 'running' ? 'ok' : state === 'failed' ? 'bad' : 'warn';
}

/** A state in the reader's language. */
export function stateText(state: State, { trans, model }: Pick<Context, 'trans' | 'model'>): string {
  const since = model.glance?.changed_s ?? 0;
  const age =
    since > 0 && state === 'stopped' ? ` ${trans('for %1', ageText(model.store.now() - since))}` : '';
  const words: Record<State, string> = {
    starting: trans('starting'),
    running: trans('running'),
    degraded: trans('degraded'),
    failed: trans('failed'),
    stopped: trans('stopped'),
  };
  return words[state] + age;
}

/** A format as its people write it. */
export function formatText(format: string): string {
  return { onnx: 'ONNX' }[format] ?? format;
}

/** What versions besides the champion are given. */
export function trafficText(glance: Glance | null, { trans }: Pick<Context, 'trans'>): string {
  const traffic = glance?.status.traffic;
  if (traffic === undefined) return '';
  const parts = [];
  if (traffic.canary > 0) parts.push(trans('v%1 canary %2', traffic.canary, shareText(traffic.share)));
  if (traffic.shadow > 0) parts.push(trans('v%1 shadow', traffic.shadow));
  return parts.join(', ');
}

/** What a version is given; nothing for one that gets no traffic. */
export function roleTag(version: VersionLine, { trans }: Pick<Context, 'trans'>): HTMLElement | null {
  const words = {
    champion: trans('serves'),
    canary: trans('canary'),
    shadow: trans('shadow'),
    loaded: trans('by name'),
    '': '',
  };
  const word = words[version.role];
  if (word === '') return null;
  return h('span', { class: `adm-tag ${version.role === 'champion' ? 'adm-ok' : 'adm-mut'}`, text: word });
}
