// Code: how other programs call the deployment.

import { freshId, h } from './dom';
import type { Content } from './drawer';
import { copyButton, type Context } from './part';

const NAMES: Record<string, string> = { curl: 'curl', python: 'Python', javascript: 'JavaScript' };

export function codeContent(context: Context): Content {
  const { model, trans } = context;
  const snippets = model.view?.snippets ?? {};
  const known = Object.keys(NAMES).filter((name) => name in snippets);
  const languages = [...known, ...Object.keys(snippets).filter((name) => !known.includes(name))];
  const id = freshId('code');
  const text = h('pre', { class: 'adm-code', attrs: { tabindex: 0, role: 'tabpanel', id: `${id}-panel` } });
  let chosen = languages[0] ?? '';
  const tabs = languages.map((language) =>
    h('button', {
      class: 'adm-tab',
      text: NAMES[language] ?? language,
      attrs: { type: 'button', role: 'tab', id: `${id}-${language}`, 'aria-controls': `${id}-panel` },
      on: {
        click: () => choose(language),
        keydown: (event) => turn(event as KeyboardEvent),
      },
    }),
  );
  const choose = (language: string): void => {
    chosen = language;
    text.textContent = snippets[language] ?? trans('There is no code to show yet.');
    text.setAttribute('aria-labelledby', `${id}-${language}`);
    tabs.forEach((tab, i) => {
      const on = languages[i] === language;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
    });
  };
  const turn = (event: KeyboardEvent): void => {
    const by = {
      ArrowLeft: -1,
      ArrowRight: 1,
      Home: -languages.indexOf(chosen),
      End: -1 - languages.indexOf(chosen),
    }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const next = (languages.indexOf(chosen) + by + languages.length) % languages.length;
    choose(languages[next] ?? chosen);
    tabs[next]?.focus();
  };
  choose(chosen);
  return {
    node: h(
      'div',
      {},
      h('div', { class: 'adm-tabs', attrs: { role: 'tablist', 'aria-label': trans('Language') } }, ...tabs),
      text,
    ),
    tools: [copyButton(context, () => snippets[chosen] ?? '')],
  };
}
