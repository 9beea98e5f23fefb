// The colours of the charts, read from the page's theme: a canvas cannot use a style sheet's variables.

import type { Disposable } from '../api/transport';

export const COLOURS = [
  'fg',
  'mut',
  'line',
  'bg',
  'c1',
  'c2',
  'c3',
  'c4',
  'ok',
  'warn',
  'bad',
  'acc',
] as const;
export type Colour = (typeof COLOURS)[number];
export type Colours = Record<Colour, string>;

export class Palette implements Disposable {
  colours: Colours;
  private readonly probe: HTMLElement;
  private readonly observer: MutationObserver;
  private readonly dark: MediaQueryList | null;
  private late: ReturnType<typeof setTimeout> | undefined;

  /** Reads them within `node`; `changed` is called after the theme did. */
  constructor(
    node: HTMLElement,
    private readonly changed: () => void,
  ) {
    this.probe = document.createElement('span');
    this.probe.hidden = true;
    node.append(this.probe);
    this.colours = this.read();
    this.observer = new MutationObserver(this.look);
    for (const element of [document.documentElement, document.body])
      this.observer.observe(element, {
        attributes: true,
        attributeFilter: [
          'class',
          'style',
          'data-jp-theme-name',
          'data-jp-theme-light',
          'data-vscode-theme-kind',
        ],
      });
    this.dark = typeof matchMedia === 'function' ? matchMedia('(prefers-color-scheme: dark)') : null;
    this.dark?.addEventListener('change', this.look);
  }

  dispose(): void {
    clearTimeout(this.late);
    this.observer.disconnect();
    this.dark?.removeEventListener('change', this.look);
    this.probe.remove();
  }

  /** Read them now: the node has come into the page. */
  refresh(): void {
    const colours = this.read();
    if (COLOURS.every((name) => colours[name] === this.colours[name])) return;
    this.colours = colours;
    this.changed();
  }

  private read(): Colours {
    const colours = {} as Colours;
    for (const name of COLOURS) {
      this.probe.style.color = `var(--adm-${name})`;
      colours[name] = getComputedStyle(this.probe).color || '#808080';
    }
    return colours;
  }

  private readonly look = (): void => {
    this.refresh();
    clearTimeout(this.late); // a theme's sheet may come after its name
    this.late = setTimeout(() => this.refresh(), 400);
  };
}
