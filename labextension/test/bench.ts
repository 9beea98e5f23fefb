// A panel on the bench: the golden deployment, a transport played by hand, and hands that press its buttons.

import { Drawing, golden, HandTransport, settle } from './stand';
import type { Health, Status, View } from '../src/api/types';
import { Panel, type PanelOptions } from '../src/panel/panel';

export let transport: HandTransport;
export let drawing: Drawing;
export let panel: Panel;
export let view: View;
export let health: Health;
export const opened: string[] = [];
export const copied: string[] = [];

/** Before each test. */
export function begin(): void {
  transport = new HandTransport();
  drawing = new Drawing();
  ({ view, health } = golden());
  opened.length = copied.length = 0;
  transport.answer = (_, path) => (path.endsWith('/view') ? structuredClone(view) : undefined);
}

export function make(more: Partial<PanelOptions> = {}): void {
  panel = new Panel({
    name: 'iris',
    transport,
    maker: drawing.maker,
    openUrl: (url) => opened.push(url),
    copy: (text_) => {
      copied.push(text_);
      return Promise.resolve();
    },
    ...more,
  });
  document.body.append(panel.node);
}

/** A panel of the golden deployment, live; `status` is what is otherwise with it. */
export async function live(more: Partial<PanelOptions> = {}, status: Partial<Status> = {}): Promise<void> {
  Object.assign(view.glance.status, status);
  make(more);
  transport.open([structuredClone(view.glance)]);
  await settle();
}

/** The button with that word, among those that are shown. */
export function button(word: string): HTMLButtonElement {
  const found = [...panel.node.querySelectorAll('button')].find(
    (one) => one.textContent === word && one.closest('[hidden]') === null,
  );
  if (found === undefined) throw new Error(`there is no button ${word}`);
  return found;
}

export function off(word: string): boolean {
  return button(word).getAttribute('aria-disabled') === 'true';
}

export function find(selector: string): HTMLElement {
  const node = panel.node.querySelector<HTMLElement>(selector);
  if (node === null) throw new Error(`there is no ${selector}`);
  return node;
}

export const field = (selector: string): HTMLInputElement => find(selector) as HTMLInputElement;
export const choice = (selector: string): HTMLSelectElement => find(selector) as HTMLSelectElement;

export function text(selector: string): string {
  return panel.node.querySelector(selector)?.textContent ?? '';
}

export function key(node: Element, name: string, more: KeyboardEventInit = {}): void {
  node.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true, ...more }));
}

/** Answer the health from now on, as `health` is then. */
export function withHealth(): void {
  const before = transport.answer;
  transport.answer = (method, path, body) =>
    path.endsWith('/health') ? structuredClone(health) : before(method, path, body);
}
