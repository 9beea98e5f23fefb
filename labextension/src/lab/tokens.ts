// What the plugins of this extension share.

import { Token } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type { ServerTransport } from '../api/server';
import type { LiveStore } from '../api/store';
import type { DeployError, Trans } from '../api/transport';
import type { Link } from '../sidebar/list';
import type { Seen } from './seen';
import type { Choices } from './settings';

export interface IDeployments {
  readonly transport: ServerTransport;
  readonly store: LiveStore;
  readonly trans: Trans;
  readonly choices: Choices;
  /** All deployments in a line each, now and then. */
  readonly seen: Seen;
  /** Whether the Jupyter Server has the extension. */
  readonly link: Link;
  /** Why there is none; null where there is. */
  readonly refusal: DeployError | null;
  readonly linkChanged: ISignal<IDeployments, Link>;
  /** Ask the server anew whether it has the extension. */
  check(): Promise<Link>;
  /** Follow the live stream until it is disposed. */
  follow(): IDisposable;
}

export const IDeployments = new Token<IDeployments>(
  'autodeploy-magic:IDeployments',
  'The deployments of autodeploy_magic, as the Jupyter Server tells of them.',
);

export const PLUGIN = 'autodeploy-magic:deployments';

/** Commands, as the palette, menus and other extensions call them. */
export const Commands = {
  show: 'autodeploy:show-sidebar',
  deploy: 'autodeploy:deploy',
  openPanel: 'autodeploy:open-panel',
  openPage: 'autodeploy:open-page',
  copyUrl: 'autodeploy:copy-url',
  test: 'autodeploy:test',
  start: 'autodeploy:start',
  stop: 'autodeploy:stop',
  restart: 'autodeploy:restart',
  rollback: 'autodeploy:rollback',
  retune: 'autodeploy:retune',
  logs: 'autodeploy:logs',
  notify: 'autodeploy:notifications',
  remove: 'autodeploy:remove',
} as const;
