// A badge that tells more when it is pointed at, focused or pressed; or whose press opens what it is about.

import { freshId, h, keepWithin, setClass, setHidden, setText } from './dom';

export class Tag {
  readonly node: HTMLElement;
  private readonly button: HTMLButtonElement;
  private readonly plain: HTMLElement;
  private readonly bubble: HTMLElement;
  private readonly opens: boolean;

  constructor(open?: () => void) {
    const id = freshId('tip');
    this.bubble = h('span', { class: 'adm-bubble', hidden: true, attrs: { role: 'tooltip', id } });
    this.button = h('button', {
      attrs: { type: 'button', 'aria-describedby': id },
      on: {
        click: () => {
          this.show(open === undefined && this.bubble.hidden);
          open?.();
        },
        mouseenter: () => this.show(true),
        mouseleave: () => this.show(false),
        focus: () => this.show(this.button.matches(':focus-visible')),
        blur: () => this.show(false),
        keydown: (event) => {
          if ((event as KeyboardEvent).key !== 'Escape' || this.bubble.hidden) return;
          event.stopPropagation();
          this.show(false);
        },
      },
    });
    if (open !== undefined) this.button.setAttribute('aria-haspopup', 'dialog');
    this.opens = open !== undefined;
    this.plain = h('span');
    this.node = h('span', { class: 'adm-tip-host', hidden: true }, this.plain, this.button, this.bubble);
  }

  /** Set what it says; an empty text hides it. */
  set(text: string, tone: 'ok' | 'warn' | 'bad' | 'mut', more: string): void {
    setHidden(this.node, text === '');
    setText(this.button, text);
    setText(this.plain, text);
    setHidden(this.button, more === '' && !this.opens);
    setHidden(this.plain, more !== '' || this.opens);
    for (const node of [this.button, this.plain])
      setClass(node, `adm-tag adm-${tone}${this.opens ? ' adm-opens' : ''}`);
    setText(this.bubble, more);
  }

  private show(shown: boolean): void {
    const wanted = shown && this.bubble.textContent !== '';
    setHidden(this.bubble, !wanted);
    if (wanted) keepWithin(this.bubble);
  }
}
