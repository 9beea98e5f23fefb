// The static picture that a saved notebook shows in the panel's place: hidden while the panel is there.

import type { Disposable } from '../api/transport';

const PLACES = '.jp-OutputArea, .jp-Cell, .cell_container, .output_container';
const users = new WeakMap<Element, Map<string, number>>();

/** Hide elements `.adm-static[data-deployment=NAME]` of the same cell's output, also those that come later. */
export function hideTwin(el: HTMLElement, name: string): Disposable {
  const place = el.closest(PLACES);
  if (place === null) return { dispose: () => undefined };
  const counts = users.get(place) ?? new Map<string, number>();
  users.set(place, counts);
  counts.set(name, (counts.get(name) ?? 0) + 1);
  mark(place, counts);
  return {
    dispose: () => {
      counts.set(name, (counts.get(name) ?? 1) - 1);
      if (counts.get(name) === 0) counts.delete(name);
      mark(place, counts);
    },
  };
}

/** A rule of its own in the place: it holds for elements that are drawn again, and needs nobody to watch them. */
function mark(place: Element, counts: Map<string, number>): void {
  let style = place.querySelector<HTMLStyleElement>(':scope > style.adm-twin');
  if (counts.size === 0) {
    style?.remove();
    place.removeAttribute('data-adm-live');
    return;
  }
  if (style === null) {
    style = document.createElement('style');
    style.className = 'adm-twin';
    place.append(style);
  }
  place.setAttribute('data-adm-live', '');
  const selectors = [...counts.keys()].map(
    (name) => `[data-adm-live] .adm-static[data-deployment=${JSON.stringify(name)}]`,
  );
  style.textContent = `${selectors.join(', ')} { display: none !important; }`;
}
