// The panel of one deployment: its head, its buttons, its charts, its figures, what happened, and its versions.

import { LiveStore } from '../api/store';
import { plain, type Disposable, type Trans, type Transport } from '../api/transport';
import type { Series, View } from '../api/types';
import type { PlotMaker } from '../chart/plot';
import { Plots } from '../chart/plots';
import { Alerts } from './alerts';
import { Dialogs } from './dialog';
import { h, setHidden } from './dom';
import { Drawer } from './drawer';
import { Happenings } from './happenings';
import { Head } from './head';
import { Model } from './model';
import { Banner, Notices } from './notices';
import { copyText, type Context, type Part } from './part';
import { ProgressList } from './progress';
import { retuneDialog } from './retune';
import { RetunePart } from './retunes';
import { sloLine } from './slo';
import { Tiles } from './tiles';
import { Toolbar } from './toolbar';
import { Versions } from './versions';

export interface PanelOptions {
  name: string;
  transport: Transport;
  /** What others on the page use too; without one the panel has its own. */
  store?: LiveStore;
  trans?: Trans;
  openUrl?: (url: string) => void;
  copy?: (text: string) => Promise<void>;
  /** The window that the charts show at first, in seconds. */
  seconds?: number;
  onSeconds?: (seconds: number) => void;
  /** What was saved with a notebook: shown where nothing answers. */
  history?: Series | null;
  view?: View | null;
  /** Where a browser on another machine reaches the deployment. */
  proxyUrl?: string | null;
  /** Puts a code into a new cell, and says where; without it the code is copied. */
  toCell?: (code: string) => Promise<string>;
  /** Ask before Stop. */
  confirmStop?: boolean;
  /** What draws the charts. */
  maker?: PlotMaker;
}

export class Panel implements Disposable {
  readonly node: HTMLElement;
  private readonly model: Model;
  private readonly context: Context;
  private readonly plots: Plots;
  private readonly parts: Part[];
  private readonly body: HTMLElement;
  private readonly drawer: Drawer;
  private readonly subscriptions: Disposable[];
  private readonly ticking: ReturnType<typeof setInterval>;
  private frame = 0;
  private shown: 'live' | 'saved' = 'live';

  constructor(options: PanelOptions) {
    const trans = options.trans ?? plain;
    const store = options.store ?? new LiveStore(options.transport, [options.name]);
    const seconds = options.seconds ?? 300;
    this.model = new Model(options.name, store, trans, {
      history: options.history ?? null,
      view: options.view ?? null,
    });
    this.body = h('div', { class: 'adm-body' });
    const dialogs = new Dialogs(trans, this.body);
    this.drawer = new Drawer(trans);
    const context: Context = {
      model: this.model,
      trans,
      dialogs,
      drawer: this.drawer,
      confirmStop: options.confirmStop ?? false,
      copy: options.copy ?? copyText,
      openUrl: options.openUrl ?? ((url) => window.open(url, '_blank', 'noopener')),
      proxyUrl: options.proxyUrl ?? null,
      toCell: options.toCell ?? null,
      showRetune: (id) => retune.show(id),
    };
    this.context = context;
    // JupyterLab's own keys stay off: "a" on a button of an output would add a cell.
    this.node = h('div', {
      class: 'adm-panel',
      attrs: {
        role: 'region',
        'aria-label': trans('Deployment %1', options.name),
        'data-deployment': options.name,
        'data-lm-suppress-shortcuts': 'true',
      },
    });
    this.plots = new Plots({
      name: options.name,
      store,
      trans,
      seconds,
      copy: context.copy,
      sight: this.node,
      onShown: () => this.soon(),
      ...(options.maker === undefined ? {} : { maker: options.maker }),
    });
    const toolbar = new Toolbar(context, seconds, (chosen) => {
      this.plots.setSeconds(chosen);
      options.onSeconds?.(chosen);
    });
    const [head, banner, alerts, notices, jobs] = [
      new Head(context),
      new Banner(context),
      new Alerts(context),
      new Notices(context),
      new ProgressList(context),
    ];
    const retune = new RetunePart(context);
    const [tiles, happenings, versions] = [
      new Tiles(context),
      new Happenings(context),
      new Versions(context),
    ];
    this.parts = [head, toolbar, banner, alerts, notices, jobs, retune, tiles, happenings, versions];
    this.body.append(
      head.node,
      toolbar.node,
      banner.node,
      alerts.node,
      notices.node,
      jobs.node,
      retune.node,
      this.drawer.node,
      this.plots.node,
      tiles.node,
      h('div', { class: 'adm-foot' }, happenings.node, versions.node),
    );
    this.node.append(this.body, dialogs.node);
    this.subscriptions = [
      this.model.subscribe(() => this.soon()),
      store.subscribe((change) => {
        if (change.point?.name === options.name || change.refilled === options.name) this.soon();
      }),
    ];
    this.ticking = setInterval(() => this.soon(), 1000);
    this.update();
    this.plots.setSeconds(seconds);
  }

  /** Take what is saved with the notebook, where it comes after the panel is there. */
  keep(history: Series | null, view: View | null): void {
    this.model.keep({ history, view });
    if (this.shown === 'saved') this.plots.freeze(history);
  }

  /** Open the dialog of a re-tune, as soon as it can be ordered. */
  retune(): void {
    const open = (): boolean => this.model.link === 'live' && this.model.view !== null;
    if (open()) retuneDialog(this.context);
    else {
      const waiting = this.model.subscribe(() => {
        if (!open()) return;
        waiting.dispose();
        retuneDialog(this.context);
      });
    }
  }

  dispose(): void {
    clearInterval(this.ticking);
    cancelAnimationFrame(this.frame);
    this.frame = -1;
    for (const subscription of this.subscriptions) subscription.dispose();
    for (const part of this.parts) part.dispose?.();
    this.drawer.close();
    this.plots.dispose();
    this.model.dispose();
    this.node.remove();
  }

  /** Bring everything up to date with the next frame: once, however much has changed, and where it can be seen. */
  private soon(): void {
    if (this.frame !== 0 || !this.plots.visible) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.update();
    });
  }

  private update(): void {
    const { model, plots } = this;
    const { glance, link } = model;
    for (const part of this.parts) part.update();
    const stale = link === 'lost' || link === 'away' || link === 'gone' || link === 'saved';
    this.node.classList.toggle('adm-stale', stale);
    this.node.classList.toggle('adm-blank', stale && glance === null);
    const shown = link === 'saved' ? 'saved' : 'live';
    if (shown !== this.shown) {
      this.shown = shown;
      plots.freeze(shown === 'saved' ? model.saved.history : null);
    }
    setHidden(plots.node, link === 'saved' && model.saved.history === null);
    plots.update({
      state: link === 'live' ? (glance?.status.state ?? null) : null,
      slo: sloLine(this.context),
      events: model.events,
      since: model.since,
    });
  }
}
