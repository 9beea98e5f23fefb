// How actions ended: what went well leaves by itself, an error stays until it is dismissed.

import { h, setHidden } from './dom';
import { clockText, dayText } from './format';
import type { Notice } from './model';
import { copyButton, type Context, type Part } from './part';

export class Notices implements Part {
  readonly node: HTMLElement;
  private drawn = '';

  constructor(private readonly context: Context) {
    this.node = h('div', { class: 'adm-notices', attrs: { role: 'status', 'aria-live': 'polite' } });
  }

  update(): void {
    const { notices } = this.context.model;
    const key = notices.map((notice) => notice.id).join();
    if (key === this.drawn) return;
    this.drawn = key;
    this.node.replaceChildren(...notices.map((notice) => this.draw(notice)));
  }

  private draw(notice: Notice): HTMLElement {
    const { trans, model } = this.context;
    const bad = notice.tone === 'bad';
    return h(
      'div',
      { class: `adm-notice adm-notice-${notice.tone}` },
      h('span', {
        class: `adm-sign adm-${bad ? 'bad' : 'ok'}`,
        text: bad ? '✗' : '✓',
        attrs: { role: 'img', 'aria-label': bad ? trans('failed') : trans('done') },
      }),
      h(
        'div',
        { class: 'adm-notice-text' },
        h('p', { class: bad ? 'adm-strong' : '', text: notice.what }),
        notice.why === '' ? null : h('p', { class: 'adm-mut', text: notice.why }),
        notice.fix === '' ? null : h('p', { text: `→ ${notice.fix}` }),
        notice.code === ''
          ? null
          : h(
              'p',
              { class: 'adm-row' },
              h('code', { text: notice.code }),
              copyButton(this.context, () => notice.code),
            ),
      ),
      h('button', {
        class: 'adm-button adm-icon',
        text: '×',
        attrs: { type: 'button', 'aria-label': trans('Dismiss') },
        on: { click: () => model.dismiss(notice.id) },
      }),
    );
  }
}

/** What the state of the connection means for what is shown. */
export class Banner implements Part {
  readonly node: HTMLElement;
  private readonly text = h('span');
  private readonly again: HTMLButtonElement;

  constructor(private readonly context: Context) {
    this.again = h('button', {
      class: 'adm-link',
      text: context.trans('Try again'),
      attrs: { type: 'button' },
      on: { click: () => context.model.retry() },
    });
    this.node = h(
      'div',
      { class: 'adm-banner', hidden: true, attrs: { role: 'status' } },
      this.text,
      this.again,
    );
  }

  update(): void {
    const text = this.words();
    setHidden(this.node, text === '');
    if (this.text.textContent !== text) this.text.textContent = text;
    setHidden(this.again, !['lost', 'saved'].includes(this.context.model.link));
    this.node.classList.toggle('adm-quiet', this.context.model.link === 'connecting');
  }

  private words(): string {
    const { model, trans } = this.context;
    switch (model.link) {
      case 'live':
        return '';
      case 'connecting':
        return trans('Connecting…');
      case 'lost':
        return model.asOfMs > 0
          ? trans(
              'Connection lost. The figures are of %1; trying to connect again…',
              clockText(model.asOfMs / 1000),
            )
          : trans('Nothing answers: neither the Jupyter Server’s extension nor this notebook’s kernel.');
      case 'away':
        return trans(
          'No supervisor runs. What was deployed may serve on, but nobody looks after it: any `%deploy` command starts one.',
        );
      case 'gone':
        return trans('There is no deployment %1 any more.', model.name);
      case 'saved':
        return trans(
          'A saved state, as of %1. It is not live: nothing answers here.',
          savedMoment(this.context),
        );
    }
  }
}

function savedMoment({ model, trans }: Context): string {
  const { history, view } = model.saved;
  const end = history === null ? 0 : history.start_s + history.step_s * (history.values[0]?.length ?? 0);
  const seconds = end > 0 ? end : Math.max(0, view?.glance.changed_s ?? 0, view?.events.at(-1)?.at_s ?? 0);
  return seconds > 0 ? `${dayText(seconds)} ${clockText(seconds)}` : trans('an unknown time');
}
