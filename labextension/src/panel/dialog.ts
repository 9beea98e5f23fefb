// A dialog over the panel. It stands within the panel: a page may show it in a frame that is taller than the screen.

import type { Trans } from '../api/transport';
import { focusable, freshId, h } from './dom';

export interface Opened {
  close(): void;
}

export class Dialogs {
  readonly node: HTMLElement;
  private current: { box: HTMLElement; opener: Element | null } | null = null;

  /** `behind` cannot be reached while a dialog is open. */
  constructor(
    private readonly trans: Trans,
    private readonly behind: HTMLElement,
  ) {
    this.node = h('div', {
      class: 'adm-veil',
      hidden: true,
      on: {
        mousedown: (event) => {
          if (event.target === this.node) this.close();
        },
        keydown: (event) => this.key(event as KeyboardEvent),
      },
    });
  }

  get isOpen(): boolean {
    return this.current !== null;
  }

  /** Open a dialog with a body and, at its foot, the elements that end it. */
  open(title: string, body: Node, foot: readonly Node[], opener?: Element | null): Opened {
    this.close();
    const id = freshId('title');
    const close = h('button', {
      class: 'adm-button adm-icon',
      text: '×',
      attrs: { type: 'button', 'aria-label': this.trans('Close') },
      on: { click: () => this.close() },
    });
    const box = h(
      'div',
      {
        class: 'adm-dialog',
        attrs: { role: 'dialog', 'aria-modal': 'true', 'aria-labelledby': id, tabindex: -1 },
      },
      h(
        'div',
        { class: 'adm-row adm-dialog-head' },
        h('h2', { class: 'adm-title', text: title, attrs: { id } }),
        h('span', { class: 'adm-grow' }),
        close,
      ),
      h('div', { class: 'adm-dialog-body' }, body),
      foot.length > 0 ? h('div', { class: 'adm-row adm-dialog-foot' }, ...foot) : null,
    );
    this.current = { box, opener: opener ?? document.activeElement };
    this.node.replaceChildren(box);
    this.node.hidden = false;
    this.behind.inert = true;
    const first = focusable(box).find((element) => element !== close);
    (first ?? close).focus({ preventScroll: true });
    if (typeof box.scrollIntoView === 'function') box.scrollIntoView({ block: 'nearest' });
    return { close: () => this.current?.box === box && this.close() };
  }

  close(): void {
    if (this.current === null) return;
    const { opener } = this.current;
    this.current = null;
    this.node.hidden = true;
    this.node.replaceChildren();
    this.behind.inert = false;
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus({ preventScroll: true });
  }

  private key(event: KeyboardEvent): void {
    if (this.current === null) return;
    if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    } else if (event.key === 'Tab') this.turn(event, this.current.box);
  }

  /** Keep the keyboard within the dialog. */
  private turn(event: KeyboardEvent, box: HTMLElement): void {
    const elements = focusable(box);
    const first = elements[0];
    const last = elements.at(-1);
    const at = document.activeElement;
    const root = box.getRootNode();
    const focused = root instanceof ShadowRoot ? root.activeElement : at;
    if (event.shiftKey && (focused === first || focused === box)) {
      event.preventDefault();
      last?.focus();
    } else if (!event.shiftKey && focused === last) {
      event.preventDefault();
      first?.focus();
    }
  }
}
