// The few words with which the panel makes its elements. Text is always text: nothing here reads HTML.

export type Child = Node | string | null | undefined;

export interface Given {
  class?: string;
  text?: string;
  title?: string;
  hidden?: boolean;
  /** Attributes by name; undefined leaves one out. */
  attrs?: Record<string, string | number | undefined>;
  on?: Record<string, (event: Event) => void>;
}

/** Make an element with what is given and its children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  given: Given = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (given.class !== undefined) node.className = given.class;
  if (given.text !== undefined) node.textContent = given.text;
  if (given.title !== undefined) node.title = given.title;
  if (given.hidden === true) node.hidden = true;
  for (const [name, value] of Object.entries(given.attrs ?? {}))
    if (value !== undefined) node.setAttribute(name, String(value));
  for (const [name, handler] of Object.entries(given.on ?? {})) node.addEventListener(name, handler);
  node.append(...children.filter((child): child is Node | string => child !== null && child !== undefined));
  return node;
}

/** The row of names above a table. */
export function tableHead(names: readonly string[]): HTMLElement {
  return h('thead', {}, h('tr', {}, ...names.map((text) => h('th', { text, attrs: { scope: 'col' } }))));
}

/** Set a text where it differs: an update that changes nothing costs nothing. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttr(node: Element, name: string, value: string | null): void {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

export function setHidden(node: HTMLElement, hidden: boolean): void {
  if (node.hidden !== hidden) node.hidden = hidden;
}

export function setClass(node: Element, name: string): void {
  if (node.getAttribute('class') !== name) node.setAttribute('class', name);
}

let count = 0;

/** An id that no other element of the page has. */
export function freshId(word: string): string {
  count += 1;
  return `adm-${word}-${count}-${Math.random().toString(36).slice(2, 7)}`;
}

/** What can be reached with the keyboard within a node, in order. */
export function focusable(node: HTMLElement): HTMLElement[] {
  const found = node.querySelectorAll<HTMLElement>(
    'button, select, input, textarea, a[href], [tabindex]:not([tabindex="-1"])',
  );
  return [...found].filter(
    (element) => element.tabIndex >= 0 && !element.matches('[disabled], [hidden] *, [hidden]'),
  );
}

/** Shift what floats so that it stays within its panel. */
export function keepWithin(floating: HTMLElement): void {
  floating.style.removeProperty('--adm-shift');
  const panel = floating.closest('.adm-panel')?.getBoundingClientRect();
  const over = floating.getBoundingClientRect().right - (panel?.right ?? Infinity) + 8;
  if (over > 0) floating.style.setProperty('--adm-shift', `${-over}px`);
}
