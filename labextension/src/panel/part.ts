// What the parts of the panel share.

import { DeployError, type Trans } from '../api/transport';
import { h, setText } from './dom';
import type { Dialogs } from './dialog';
import type { Drawer } from './drawer';
import type { Model } from './model';

/** A part of the panel: its element, brought up to date whenever the model has changed. */
export interface Part {
  readonly node: HTMLElement;
  update(): void;
  dispose?(): void;
}

export interface Context {
  model: Model;
  trans: Trans;
  dialogs: Dialogs;
  drawer: Drawer;
  confirmStop: boolean;
  copy: (text: string) => Promise<void>;
  openUrl: (url: string) => void;
  /** Where a browser reaches the deployment through the Jupyter Server; null where it cannot. */
  proxyUrl: string | null;
  /** Puts a code into a new cell of the open notebook; null where the panel cannot. It says what it did. */
  toCell: ((code: string) => Promise<string>) | null;
  /** Shows a re-tune with its candidates: that of an id, or the last one for "". */
  showRetune: (id: string) => void;
}

/** A button. Double clicks do one thing: what they start is under way, or shown already. */
export function button(
  text: string,
  click: () => void,
  more: { class?: string; title?: string } = {},
): HTMLButtonElement {
  return h('button', {
    class: `adm-button ${more.class ?? ''}`.trim(),
    text,
    ...(more.title === undefined ? {} : { title: more.title }),
    attrs: { type: 'button' },
    on: {
      click: (event) => {
        if ((event.currentTarget as Element).getAttribute('aria-disabled') === 'true') return;
        click();
      },
    },
  });
}

/** What happened, why, and what to do, each on a line of its own. */
export function errorText(thrown: unknown): string {
  const { what, why, fix } = DeployError.of(thrown);
  return [what, why, fix === '' ? '' : `→ ${fix}`].filter((part) => part !== '').join('\n');
}

/** A button that reads as a link. */
export function link(text: string, click: () => void, label?: string): HTMLButtonElement {
  return h('button', {
    class: 'adm-link',
    text,
    attrs: { type: 'button', 'aria-label': label },
    on: {
      click: (event) => {
        if ((event.currentTarget as Element).getAttribute('aria-disabled') !== 'true') click();
      },
    },
  });
}

/** Disable a button for a reason, which its tooltip tells; "" enables it. It keeps the keyboard's focus. */
export function disable(node: HTMLButtonElement, reason: string): void {
  const off = reason !== '';
  if ((node.getAttribute('aria-disabled') === 'true') !== off) {
    if (off) node.setAttribute('aria-disabled', 'true');
    else node.removeAttribute('aria-disabled');
  }
  const title = off ? reason : (node.dataset.title ?? '');
  if (node.title !== title) node.title = title;
}

/** A button that copies a text and says so. */
export function copyButton(
  context: Pick<Context, 'trans' | 'copy'>,
  text: () => string,
  label?: string,
): HTMLButtonElement {
  const { trans } = context;
  const word = label ?? trans('Copy');
  let back: ReturnType<typeof setTimeout> | undefined;
  const said = (told: string): void => {
    setText(node, told);
    clearTimeout(back);
    back = setTimeout(() => setText(node, word), 2000);
  };
  const node = button(word, () => {
    context.copy(text()).then(
      () => said(trans('Copied')),
      () => said(trans('Could not copy')),
    );
  });
  node.setAttribute('aria-live', 'polite');
  return node;
}

/** Copy with the browser's clipboard; in a page without one, the old way. */
export async function copyText(text: string): Promise<void> {
  const clipboard = (navigator as { clipboard?: Clipboard }).clipboard;
  if (clipboard !== undefined) {
    try {
      await clipboard.writeText(text);
      return;
    } catch {
      // Refused, as within some frames: the old way may work.
    }
  }
  const area = h('textarea', { class: 'adm-spoken', attrs: { readonly: '', 'aria-hidden': 'true' } });
  area.value = text;
  document.body.append(area);
  area.select();
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- there is no other way without a clipboard
  const worked = document.execCommand('copy');
  area.remove();
  if (!worked) throw new Error('the browser does not let this page copy');
}
