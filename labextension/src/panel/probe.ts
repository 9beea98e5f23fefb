// Test: a row of the sample, sent as a client would send it.

import type { Probe } from '../api/types';
import { DeployError } from '../api/transport';
import { h } from './dom';
import type { Content } from './drawer';
import { durationText } from './format';
import { button, copyButton, type Context } from './part';

export function probeContent(context: Context): Content {
  const { model, trans } = context;
  const body = h('div', { class: 'adm-probe', attrs: { 'aria-live': 'polite', 'aria-busy': 'true' } });
  let busy = false;
  let gone = false;
  const send = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    body.setAttribute('aria-busy', 'true');
    if (body.childElementCount === 0)
      body.append(h('p', { class: 'adm-mut', text: trans('Sending a row of the sample…') }));
    try {
      const probe = await model.call<Probe>('POST', '/test', { rows: 1 });
      if (!gone) body.replaceChildren(...shown(probe, context));
    } catch (thrown) {
      const { what, why, fix } = DeployError.of(thrown);
      if (!gone)
        body.replaceChildren(
          h('p', { class: 'adm-strong adm-bad', text: `✗ ${what}` }),
          ...(why === '' ? [] : [h('p', { class: 'adm-mut', text: why })]),
          ...(fix === '' ? [] : [h('p', { text: `→ ${fix}` })]),
        );
    } finally {
      busy = false;
      body.setAttribute('aria-busy', 'false');
    }
  };
  void send();
  return {
    node: body,
    tools: [button(trans('Send again'), () => void send())],
    dispose: () => {
      gone = true;
    },
  };
}

function shown(probe: Probe, context: Context): Node[] {
  const { trans } = context;
  const good = probe.status >= 200 && probe.status < 300;
  const verdict =
    probe.as_verified === null
      ? h('span', { class: 'adm-mut', text: trans('nothing was kept to compare with') })
      : probe.as_verified
        ? h('span', { class: 'adm-ok', text: `✓ ${trans('as verified')}` })
        : h('span', { class: 'adm-bad', text: `✗ ${trans('not what was verified')}` });
  const line = h(
    'p',
    { class: 'adm-row' },
    h('b', { class: good ? '' : 'adm-bad', text: `HTTP ${probe.status}` }),
    h('span', { text: trans('answered by v%1 in %2', probe.version || '?', durationText(probe.seconds)) }),
    good ? verdict : null,
  );
  return [
    line,
    h(
      'div',
      { class: 'adm-pair' },
      json(trans('Request'), probe.request, context),
      json(trans('Answer'), probe.answer, context),
    ),
  ];
}

function json(title: string, value: unknown, context: Context): HTMLElement {
  const text = jsonText(value);
  return h(
    'div',
    { class: 'adm-json' },
    h(
      'div',
      { class: 'adm-row' },
      h('span', { class: 'adm-mut', text: title }),
      h('span', { class: 'adm-grow' }),
      copyButton(context, () => text),
    ),
    h('pre', { text, attrs: { tabindex: 0, role: 'region', 'aria-label': title } }),
  );
}

/** JSON as people read it: short lists and records on one line. */
export function jsonText(value: unknown, width = 44, indent = ''): string {
  const flat = spaced(value);
  if (flat.length + indent.length <= width || typeof value !== 'object' || value === null) return flat;
  const inner = `${indent}  `;
  const items = Array.isArray(value)
    ? value.map((item) => inner + jsonText(item, width, inner))
    : Object.entries(value).map(
        ([name, item]) => `${inner}${JSON.stringify(name)}: ${jsonText(item, width, inner)}`,
      );
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  return `${open}\n${items.join(',\n')}\n${indent}${close}`;
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const items = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${spaced(item)}`);
    return items.length > 0 ? `{ ${items.join(', ')} }` : '{}';
  }
  return JSON.stringify(value ?? null);
}
