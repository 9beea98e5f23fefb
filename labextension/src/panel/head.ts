// The panel's head: which deployment it is, how it is, whether to trust it, and where it is reached.

import type { Glance } from '../api/types';
import { h, setClass, setHidden, setText } from './dom';
import { button, copyButton, disable, type Context, type Part } from './part';
import { sloBadge, sloDialog } from './slo';
import { Tag } from './tag';
import { formatText, stateText, toneOf, trafficText } from './words';

export class Head implements Part {
  readonly node: HTMLElement;
  private readonly dot = h('span', { class: 'adm-dot', attrs: { 'aria-hidden': 'true' } });
  private readonly state = h('span', { class: 'adm-state' });
  private readonly version = h('span', { class: 'adm-tag' });
  private readonly traffic = h('span', { class: 'adm-tag' });
  private readonly format = h('span', { class: 'adm-tag' });
  private readonly trust: Tag;
  private readonly slo: Tag;
  private readonly open_: Tag;
  private readonly reason = h('span', { class: 'adm-mut adm-reason' });
  private readonly url = h('code', { class: 'adm-url' });
  private readonly copy: HTMLButtonElement;
  private readonly open: HTMLButtonElement;
  private readonly where: HTMLElement;

  constructor(private readonly context: Context) {
    const { model, trans } = context;
    this.trust = new Tag();
    this.slo = new Tag(() => sloDialog(context));
    this.open_ = new Tag();
    this.copy = copyButton(context, () => this.url.textContent);
    this.copy.setAttribute('aria-label', trans('Copy the URL'));
    this.open = button(trans('Open'), () => context.openUrl(this.target()));
    this.where = h('div', { class: 'adm-row adm-where' }, this.url, this.copy, this.open);
    this.node = h(
      'header',
      { class: 'adm-row adm-head' },
      h(
        'div',
        { class: 'adm-row adm-who' },
        this.dot,
        h('h1', { class: 'adm-name', text: model.name }),
        this.state,
        this.version,
        this.format,
        this.trust.node,
        this.slo.node,
        this.open_.node,
        this.traffic,
      ),
      h('span', { class: 'adm-grow' }),
      this.where,
      this.reason,
    );
  }

  update(): void {
    const { model, trans } = this.context;
    const { glance, link } = model;
    const status = glance?.status ?? null;
    const live = link === 'live';
    setClass(
      this.dot,
      `adm-dot adm-${live ? toneOf(status?.state ?? null) : 'mut'}${this.busy() ? ' adm-busy' : ''}`,
    );
    const state = status === null ? '' : stateText(status.state, this.context);
    setText(this.state, live || state === '' ? state : trans('last seen %1', state));
    setClass(this.state, `adm-state adm-${live ? toneOf(status?.state ?? null) : 'mut'}`);
    this.tag(this.version, status === null || status.version === 0 ? '' : `v${status.version}`);
    this.tag(this.format, status === null ? '' : formatText(status.format));
    this.trusting(glance);
    const { text, tone, more } = sloBadge(this.context);
    this.slo.set(text, tone, more);
    this.open_.set(
      status !== null && !status.auth ? trans('no token') : '',
      'warn',
      trans('Open to every program and every user on this machine: no token is asked for.'),
    );
    this.tag(this.traffic, status === null ? '' : trafficText(glance, this.context));
    setText(this.reason, live ? (status?.reason ?? '') : '');
    setHidden(this.reason, this.reason.textContent === '');
    setText(this.url, status?.url ?? '');
    setHidden(this.where, (status?.url ?? '') === '');
    const serves = live && status !== null && status.state !== 'stopped' && status.state !== 'failed';
    disable(this.open, serves ? '' : trans('It does not serve now'));
    if (serves) this.open.title = this.target();
  }

  private busy(): boolean {
    const { model } = this.context;
    return model.link === 'live' && (model.pending !== null || model.glance?.status.state === 'starting');
  }

  private tag(node: HTMLElement, text: string): void {
    setText(node, text);
    setHidden(node, text === '');
  }

  private trusting(glance: Glance | null): void {
    const { trans } = this.context;
    if (glance?.trust === 'green')
      this.trust.set(
        `✓ ${trans('safe to load')}`,
        'ok',
        trans('Nothing is unpickled: loading this model runs no code of its own.'),
      );
    else if (glance?.trust === 'amber')
      this.trust.set(
        `! ${trans('pickled')}`,
        'warn',
        trans(
          'A pickled model: loading it can run any code. It came from your own kernel; never load one from elsewhere.',
        ),
      );
    else this.trust.set('', 'mut', '');
  }

  /** Where the reader's browser reaches it: on another machine, through the Jupyter Server. */
  private target(): string {
    const { model, proxyUrl } = this.context;
    const url = model.glance?.status.url ?? '';
    const here =
      /^(localhost|127\.|\[::1\])/.test(location.hostname) || location.protocol === 'vscode-webview:';
    return model.glance?.local === true && !here && proxyUrl !== null ? proxyUrl : url;
  }
}
