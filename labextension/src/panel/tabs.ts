// A list of tabs: the arrow keys turn them, and one panel shows what the chosen one is about.

import { freshId, h } from './dom';

export interface Tabs {
  node: HTMLElement;
  choose(at: number): void;
}

/** `panel` is labelled by the tab that is chosen; `show` is called with its place. */
export function tabsOf(
  words: readonly string[],
  label: string,
  panel: HTMLElement,
  show: (at: number) => void,
): Tabs {
  const id = freshId('tab');
  let chosen = 0;
  panel.id = `${id}-panel`;
  panel.setAttribute('role', 'tabpanel');
  const tabs = words.map((word, i) =>
    h('button', {
      class: 'adm-tab',
      text: word,
      attrs: { type: 'button', role: 'tab', id: `${id}-${i}`, 'aria-controls': panel.id },
      on: { click: () => choose(i), keydown: (event) => turn(event as KeyboardEvent) },
    }),
  );
  const choose = (at: number): void => {
    chosen = at;
    panel.setAttribute('aria-labelledby', `${id}-${at}`);
    tabs.forEach((tab, i) => {
      tab.setAttribute('aria-selected', String(i === at));
      tab.tabIndex = i === at ? 0 : -1;
    });
    show(at);
  };
  const turn = (event: KeyboardEvent): void => {
    const to = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const next = (to + tabs.length) % tabs.length;
    choose(next);
    tabs[next]?.focus();
  };
  const node = h('div', { class: 'adm-tabs', attrs: { role: 'tablist', 'aria-label': label } }, ...tabs);
  return { node, choose };
}
