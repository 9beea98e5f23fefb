// A place below the buttons for what is looked at beside the charts: a test, the log, code. One at a time.

import type { Trans } from '../api/transport';
import { freshId, h, setHidden } from './dom';

export interface Content {
  node: HTMLElement;
  /** Elements for the drawer's head. */
  tools?: readonly Node[];
  dispose?(): void;
}

export class Drawer {
  readonly node: HTMLElement;
  private current: { word: string; content: Content; opener: HTMLElement } | null = null;

  constructor(private readonly trans: Trans) {
    this.node = h('section', {
      class: 'adm-drawer',
      hidden: true,
      on: {
        keydown: (event) => {
          if ((event as KeyboardEvent).key !== 'Escape') return;
          event.stopPropagation();
          this.close();
        },
      },
    });
  }

  /** What is open, by its word; "" for nothing. */
  get open(): string {
    return this.current?.word ?? '';
  }

  /** Show a content, or close the drawer where it shows that one already. */
  toggle(word: string, title: string, opener: HTMLElement, make: () => Content): void {
    if (this.current?.word === word) {
      this.close();
      return;
    }
    this.show(word, title, opener, make);
  }

  show(word: string, title: string, opener: HTMLElement, make: () => Content): void {
    this.close();
    const content = make();
    const id = freshId('drawer');
    this.current = { word, content, opener };
    this.node.setAttribute('aria-labelledby', id);
    this.node.replaceChildren(
      h(
        'div',
        { class: 'adm-row adm-drawer-head' },
        h('h2', { class: 'adm-title', text: title, attrs: { id } }),
        h('span', { class: 'adm-grow' }),
        ...(content.tools ?? []),
        h('button', {
          class: 'adm-button adm-icon',
          text: '×',
          attrs: { type: 'button', 'aria-label': this.trans('Close') },
          on: { click: () => this.close() },
        }),
      ),
      content.node,
    );
    setHidden(this.node, false);
    opener.setAttribute('aria-expanded', 'true');
  }

  close(): void {
    if (this.current === null) return;
    const { content, opener } = this.current;
    const within = this.node.contains(document.activeElement);
    this.current = null;
    content.dispose?.();
    setHidden(this.node, true);
    this.node.replaceChildren();
    opener.setAttribute('aria-expanded', 'false');
    if (within) opener.focus({ preventScroll: true });
  }
}
