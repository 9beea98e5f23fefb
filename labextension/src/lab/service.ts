// The first plugin: the road to the supervisor, and what is known of the deployments.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { Signal, type ISignal } from '@lumino/signaling';

import { ServerTransport } from '../api/server';
import { LiveStore } from '../api/store';
import { DeployError, type Trans } from '../api/transport';
import type { Link } from '../sidebar/list';
import { Seen } from './seen';
import { Choices } from './settings';
import { IDeployments, PLUGIN } from './tokens';

const AGAIN_MS = 15_000;

export class Deployments implements IDeployments {
  readonly transport: ServerTransport;
  readonly store: LiveStore;
  readonly choices = new Choices();
  readonly seen: Seen;
  /** Why there is no link. */
  refusal: DeployError | null = null;
  private _link: Link = 'checking';
  private readonly _linkChanged = new Signal<this, Link>(this);
  private asking: Promise<Link> | null = null;
  private followers = 0;
  private started = false;
  private again: ReturnType<typeof setTimeout> | undefined;

  constructor(
    settings: ServerConnection.ISettings,
    readonly trans: Trans,
  ) {
    const fetching = settings.fetch; // a browser's fetch refuses to be called as another object's method
    this.transport = new ServerTransport({
      baseUrl: settings.baseUrl,
      wsUrl: settings.wsUrl,
      token: settings.token,
      fetch: (input, init) =>
        fetching(input instanceof URL ? input.href : input, { ...settings.init, ...init }),
      WebSocket: settings.WebSocket,
    });
    this.store = new LiveStore(this.transport);
    this.seen = new Seen(this);
  }

  get link(): Link {
    return this._link;
  }

  get linkChanged(): ISignal<this, Link> {
    return this._linkChanged;
  }

  check(): Promise<Link> {
    this.asking ??= this.ask().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  follow(): IDisposable {
    this.followers += 1;
    if (this._link === 'there') this.stream();
    else void this.check();
    return new DisposableDelegate(() => {
      this.followers -= 1;
      this.stream();
    });
  }

  private async ask(): Promise<Link> {
    let link: Link = 'there';
    this.refusal = null;
    try {
      await this.transport.call('GET', '/hello');
    } catch (thrown) {
      this.refusal = DeployError.of(thrown);
      link = this.refusal.error === 'NotFound' ? 'missing' : 'unreachable';
    }
    if (link !== this._link) {
      this._link = link;
      this._linkChanged.emit(link);
    }
    this.stream();
    return link;
  }

  /** The stream runs while somebody follows it and the server has it; where it cannot be reached we ask again. */
  private stream(): void {
    const wanted = this.followers > 0 && this._link === 'there';
    if (wanted && !this.started) this.store.start();
    if (!wanted && this.started) this.store.stop();
    this.started = wanted;
    clearTimeout(this.again);
    if (this.followers > 0 && this._link === 'unreachable')
      this.again = setTimeout(() => void this.check(), AGAIN_MS);
  }
}

export const service: JupyterFrontEndPlugin<IDeployments> = {
  id: PLUGIN,
  description: 'Knows the deployments of autodeploy_magic, and the settings of what shows them.',
  autoStart: true,
  optional: [ISettingRegistry, ITranslator],
  provides: IDeployments,
  activate: (app: JupyterFrontEnd, registry: ISettingRegistry | null, translator: ITranslator | null) => {
    const bundle = (translator ?? nullTranslator).load('autodeploy_magic');
    const trans: Trans = (text, ...args) => bundle.__(text, ...args);
    const deployments = new Deployments(app.serviceManager.serverSettings, trans);
    void registry
      ?.load(PLUGIN)
      .then((settings) => deployments.choices.attach(settings))
      .catch((reason: unknown) =>
        console.warn(`The settings of ${PLUGIN} cannot be read; the defaults hold.`, reason),
      );
    return deployments;
  },
};
