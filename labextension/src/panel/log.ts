// Logs: the last lines, followed while they are looked at.

import { h, setText } from './dom';
import type { Content } from './drawer';
import { button, type Context, copyButton, errorText } from './part';

const EVERY_MS = 2000;
const CHOICES = [200, 1000, 5000];

export function logContent(context: Context): Content {
  const { model, trans } = context;
  const text = h('pre', {
    class: 'adm-log',
    text: trans('Reading the log…'),
    attrs: { tabindex: 0, role: 'log', 'aria-live': 'off', 'aria-label': trans('Log') },
  });
  let log = '';
  let gone = false;
  let busy = false;
  const read = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      log = await model.call<string>('GET', `/logs?lines=${lines.value}`);
      if (gone) return;
      const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 24;
      const first = text.classList.contains('adm-fresh');
      setText(text, log === '' ? trans('the log is empty') : log);
      text.classList.remove('adm-fresh');
      if (first || (atEnd && follow.checked)) text.scrollTop = text.scrollHeight;
    } catch (thrown) {
      if (!gone) setText(text, errorText(thrown));
    } finally {
      busy = false;
    }
  };
  const lines = h(
    'select',
    {
      class: 'adm-button adm-select',
      attrs: { 'aria-label': trans('Lines') },
      on: {
        change: () => {
          text.classList.add('adm-fresh');
          void read();
        },
      },
    },
    ...CHOICES.map((count) => h('option', { text: trans('%1 lines', count), attrs: { value: count } })),
  );
  const follow = h('input', { attrs: { type: 'checkbox' } });
  follow.checked = true;
  const followLabel = h('label', { class: 'adm-row adm-check' }, follow, trans('Follow'));
  text.classList.add('adm-fresh');
  const timer = setInterval(() => {
    if (follow.checked && model.link === 'live' && document.visibilityState !== 'hidden' && text.isConnected)
      void read();
  }, EVERY_MS);
  void read();
  return {
    node: text,
    tools: [followLabel, lines, button(trans('Refresh'), () => void read()), copyButton(context, () => log)],
    dispose: () => {
      gone = true;
      clearInterval(timer);
    },
  };
}
