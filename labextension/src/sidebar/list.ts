// Every deployment of this person, kept up to date: the sidebar without the sidebar.

import type { Change, LiveStore } from '../api/store';
import type { DeployError, Disposable, Trans } from '../api/transport';
import type { Activity } from '../api/types';
import { clockText } from '../panel/format';
import { h, setText } from '../panel/dom';
import { stateText } from './figures';
import { Row, type RowActions } from './row';

/** Whether the Jupyter Server has our extension: nothing can be shown without. */
export type Link = 'checking' | 'there' | 'missing' | 'unreachable';

export interface ListOptions extends RowActions {
  store: LiveStore;
  trans: Trans;
  deploy(): void;
  remove(name: string): void;
  /** Look for the server's extension again. */
  check(): void;
  /** How often figures are drawn anew, in seconds. */
  refreshS?: number;
}

export class DeploymentList {
  readonly node: HTMLElement;
  private readonly rows = new Map<string, Row>();
  private readonly list: HTMLUListElement;
  private readonly notice = h('div', { class: 'adm-Sidebar-notice', attrs: { role: 'status' } });
  private readonly empty = h('div', { class: 'adm-Sidebar-empty' });
  private readonly aloud = h('div', { class: 'adm-Sidebar-aloud', attrs: { 'aria-live': 'polite' } });
  private readonly states = new Map<string, string>();
  private readonly following: Disposable;
  private link: Link = 'checking';
  private refusal: DeployError | null = null;
  private shown = '';
  private drawing = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private drawnMs = 0;
  private refreshMs: number;

  constructor(private readonly options: ListOptions) {
    const { trans, store } = options;
    this.refreshMs = 1000 * (options.refreshS ?? 1);
    const deploy = h(
      'button',
      { class: 'adm-Button adm-mod-accent', attrs: { type: 'button' } },
      trans('Deploy…'),
    );
    deploy.title = trans('Deploy a model of the open notebook');
    deploy.addEventListener('click', () => options.deploy());
    this.list = h('ul', { class: 'adm-Sidebar-list', attrs: { 'aria-label': trans('Deployments') } });
    this.node = h(
      'section',
      { class: 'adm-Sidebar', attrs: { 'aria-label': trans('Deployments') } },
      h('header', { class: 'adm-Sidebar-head' }, h('h2', {}, trans('Deployments')), deploy),
      this.notice,
      this.list,
      this.empty,
      this.aloud,
    );
    this.list.addEventListener('keydown', this.onKey);
    this.following = store.subscribe((change) => this.on(change));
    this.draw();
  }

  dispose(): void {
    this.following.dispose();
    clearTimeout(this.timer);
    cancelAnimationFrame(this.drawing);
    this.node.remove();
  }

  /** `refusal` is why there is none. */
  setLink(link: Link, refusal: DeployError | null = null): void {
    this.link = link;
    this.refusal = refusal;
    this.soon();
  }

  setRefresh(seconds: number): void {
    this.refreshMs = 1000 * seconds;
  }

  /** Give the keyboard to the list: to the row that had it, or to the first. */
  focus(): void {
    const main = this.mains();
    const first = main[0] ?? this.node.querySelector<HTMLButtonElement>('button');
    if (!this.node.contains(document.activeElement)) first?.focus();
  }

  private on(change: Change): void {
    // Points come each second for each deployment: they are drawn together, and not more often than is asked for.
    if (change.point !== undefined || change.refilled !== undefined) {
      const wait = this.drawnMs + this.refreshMs - 150 - Date.now();
      if (wait <= 0) this.soon();
      else this.timer ??= setTimeout(() => this.soon(), wait);
    } else this.soon();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.drawing !== 0) return;
    this.drawing = requestAnimationFrame(() => this.draw());
  }

  /** Bring what is shown up to date. */
  draw(): void {
    this.drawing = 0;
    this.drawnMs = Date.now();
    const { store, trans } = this.options;
    // While nothing is heard, what was heard last is shown as it was.
    const silent = store.heardMs > 0 ? (Date.now() - store.heardMs) / 1000 : 0;
    const heardS = store.now() - silent;
    const building = this.link === 'there' ? this.newJobs() : new Map<string, Activity[]>();
    const names = [...new Set([...store.glances.keys(), ...building.keys()])].sort();
    for (const [name, row] of this.rows)
      if (!names.includes(name)) {
        row.node.remove();
        this.rows.delete(name);
        this.states.delete(name);
      }
    names.forEach((name, i) => {
      const row = this.rows.get(name) ?? this.add(name);
      if (this.list.children[i] !== row.node) this.list.insertBefore(row.node, this.list.children[i] ?? null);
      const glance = store.glances.get(name);
      if (glance === undefined) return row.updateJob(building.get(name) ?? []);
      row.update(glance, store.points(name), store.jobs(name), heardS);
      this.tellState(name, stateText(glance, trans));
    });
    this.list.hidden = names.length === 0;
    this.showNotice(names.length > 0);
    this.showEmpty(names.length > 0);
  }

  private add(name: string): Row {
    const row = new Row(name, this.options.trans, this.options);
    this.rows.set(name, row);
    return row;
  }

  /** Builds of deployments that are not there yet. */
  private newJobs(): Map<string, Activity[]> {
    const found = new Map<string, Activity[]>();
    for (const job of this.options.store.activities.values())
      if (!this.options.store.glances.has(job.name) && job.where === 'kernel' && job.state === 'running')
        found.set(job.name, [...(found.get(job.name) ?? []), job]);
    return found;
  }

  private tellState(name: string, state: string): void {
    const before = this.states.get(name);
    this.states.set(name, state);
    if (before !== undefined && before !== state)
      setText(this.aloud, this.options.trans('%1 is %2', name, state));
  }

  private showNotice(some: boolean): void {
    const { store, trans } = this.options;
    const lost = this.link === 'there' && store.complete && store.state === 'lost';
    const stale = some && (lost || this.link === 'unreachable');
    this.node.classList.toggle('adm-mod-stale', stale);
    this.notice.hidden = !stale;
    const since = clockText(store.heardMs / 1000);
    setText(
      this.notice,
      stale
        ? trans(
            'The Jupyter Server cannot be reached. Looking again; this is how it was at %1. Deployments serve on.',
            since,
          )
        : '',
    );
  }

  private showEmpty(some: boolean): void {
    const what = some ? '' : this.emptyKind();
    this.empty.hidden = what === '';
    if (what === this.shown) return;
    this.shown = what;
    this.empty.replaceChildren(...this.emptyWords(what));
  }

  private emptyKind(): string {
    const { store } = this.options;
    if (this.link === 'missing') return 'missing';
    if (this.link === 'unreachable' || (this.link === 'there' && store.state === 'lost'))
      return 'unreachable';
    if (this.link === 'checking' || !store.complete) return 'checking';
    return store.away ? 'away' : 'none';
  }

  private emptyWords(kind: string): HTMLElement[] {
    const { trans } = this.options;
    const p = (text: string): HTMLElement => h('p', {}, text);
    const again = h('button', { class: 'adm-Button', attrs: { type: 'button' } }, trans('Look again'));
    again.addEventListener('click', () => this.options.check());
    switch (kind) {
      case 'missing':
        return [
          h('h3', {}, trans('The Jupyter Server does not know autodeploy')),
          p(
            trans(
              'The sidebar is installed, and its other half, the extension of the server, is not there or not enabled. In the environment that runs Jupyter:',
            ),
          ),
          h('pre', {}, 'pip install autodeploy-magic'),
          h('pre', {}, 'jupyter server extension enable autodeploy_magic.server_extension'),
          p(trans('Then restart Jupyter. What is deployed serves on meanwhile.')),
          again,
        ];
      case 'unreachable':
        return [
          h('h3', {}, trans('The Jupyter Server cannot be reached')),
          ...(this.refusal === null
            ? []
            : [p(`${this.refusal.what}: ${this.refusal.why}`), p(this.refusal.fix)]),
          p(trans('Looking again. Deployments serve on without it.')),
          again,
        ];
      case 'checking':
        return [p(trans('Looking…'))];
      case 'away':
      case 'none':
        return [
          h(
            'h3',
            {},
            kind === 'away'
              ? trans('Nothing is deployed, as far as can be seen')
              : trans('Nothing is deployed'),
          ),
          p(trans('In a notebook that has a fitted model, press Deploy…, or run:')),
          h('pre', {}, '%load_ext autodeploy_magic'),
          h('pre', {}, '%%deploy iris --model model --sample X_test'),
          ...(kind === 'away'
            ? [
                p(
                  trans(
                    'No supervisor runs. What was deployed before may serve on, and is shown once there is one: run %deploy list.',
                  ),
                ),
              ]
            : []),
        ];
      default:
        return [];
    }
  }

  private mains(): HTMLButtonElement[] {
    return [...this.list.querySelectorAll<HTMLButtonElement>('.adm-Row-main')];
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    const row = (event.target as HTMLElement).closest<HTMLElement>('.adm-Row');
    const main = this.mains();
    const at = main.findIndex((button) => row?.contains(button));
    const name = row?.dataset['name'];
    if (name === undefined || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: main.length - 1 }[event.key];
    if (next !== undefined) main[Math.max(0, Math.min(main.length - 1, next))]?.focus();
    else if (event.key === 'Delete') this.options.remove(name);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
}
