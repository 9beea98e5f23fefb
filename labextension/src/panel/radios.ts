// A choice of a few, each with a word and what it means.

import { freshId, h } from './dom';

export function radiosOf<T extends string>(
  legend: HTMLElement,
  all: readonly (readonly [T, string, string])[],
  chosen: T,
  choose: (value: T) => void,
): HTMLElement {
  const group = freshId('choice');
  return h(
    'fieldset',
    { class: 'adm-choices adm-switch' },
    legend,
    ...all.map(([value, word, about]) => {
      const radio = h('input', {
        attrs: { type: 'radio', name: group, value },
        on: { change: () => choose(value) },
      });
      radio.checked = value === chosen;
      return h(
        'label',
        { class: 'adm-choice' },
        radio,
        h('b', { text: word }),
        h('span', { class: 'adm-mut', text: about }),
      );
    }),
  );
}
