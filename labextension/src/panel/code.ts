// Code: how other programs call the deployment.

import { h } from './dom';
import type { Content } from './drawer';
import { copyButton, type Context } from './part';
import { tabsOf } from './tabs';

const NAMES: Record<string, string> = { curl: 'curl', python: 'Python', javascript: 'JavaScript' };

export function codeContent(context: Context): Content {
  const { model, trans } = context;
  const snippets = model.view?.snippets ?? {};
  const known = Object.keys(NAMES).filter((name) => name in snippets);
  const languages = [...known, ...Object.keys(snippets).filter((name) => !known.includes(name))];
  const text = h('pre', { class: 'adm-code', attrs: { tabindex: 0 } });
  const chosen = (at: number): string => snippets[languages[at] ?? ''] ?? '';
  let shown = 0;
  const words = languages.map((language) => NAMES[language] ?? language);
  const tabs = tabsOf(words, trans('Language'), text, (at) => {
    shown = at;
    text.textContent = chosen(at) || trans('There is no code to show yet.');
  });
  tabs.choose(0);
  return {
    node: h('div', {}, tabs.node, text),
    tools: [copyButton(context, () => chosen(shown))],
  };
}
