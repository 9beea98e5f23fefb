// The status bar: how many deployments there are, and how the worst of them is.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { Glance, State } from '../api/types';
import { h, setText } from '../panel/dom';
import { Commands, IDeployments } from './tokens';

/** A glance now and then, and not the live stream: that makes the supervisor measure each second. */
const EVERY_MS = 10_000;

const WORST: readonly State[] = ['failed', 'degraded', 'starting', 'running', 'stopped'];

export class StatusItem extends Widget {
  readonly activeChanged = new Signal<this, void>(this);
  active = false;
  private readonly button = h('button', { class: 'adm-theme adm-Status', attrs: { type: 'button' } });
  private readonly dot = h('span', { class: 'adm-Row-dot', attrs: { 'aria-hidden': 'true' } });
  private readonly text = h('span');

  constructor(
    private readonly deployments: IDeployments,
    open: () => void,
  ) {
    super();
    this.button.append(this.dot, this.text);
    this.button.addEventListener('click', open);
    this.node.append(this.button);
  }

  /** Show them; null where nothing is known. */
  tell(glances: readonly Glance[] | null): void {
    const { trans, choices } = this.deployments;
    const active = choices.statusBar && glances !== null && glances.length > 0;
    if (glances !== null && glances.length > 0) {
      const worst =
        WORST.find((state) => glances.some((glance) => glance.status.state === state)) ?? 'running';
      const bad = glances.filter((glance) => glance.status.state === worst).length;
      const stopped = glances.every((glance) => glance.status.state === 'stopped');
      this.button.dataset['state'] = worst;
      const told = worst === 'running' || stopped ? '' : trans(', %1 %2', bad, stateWord(worst, trans));
      setText(
        this.text,
        (glances.length === 1 ? trans('1 deployment') : trans('%1 deployments', glances.length)) + told,
      );
      this.button.title = glances
        .map((glance) => `${glance.status.name}: ${stateWord(glance.status.state, trans)}`)
        .join('\n');
    }
    if (active === this.active) return;
    this.active = active;
    this.activeChanged.emit();
  }
}

function stateWord(state: State, trans: IDeployments['trans']): string {
  const words: Record<State, string> = {
    failed: trans('failed'),
    degraded: trans('degraded'),
    starting: trans('starting'),
    running: trans('running'),
    stopped: trans('stopped'),
  };
  return words[state];
}

export const status: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:status',
  description: 'The number of deployments and the worst state in the status bar.',
  autoStart: true,
  requires: [IDeployments],
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, deployments: IDeployments, statusBar: IStatusBar | null) => {
    if (statusBar === null) return;
    const { store } = deployments;
    const item = new StatusItem(deployments, () => void app.commands.execute(Commands.show));
    item.id = 'autodeploy-status';
    statusBar.registerStatusItem('autodeploy-magic:status', {
      item,
      align: 'left',
      rank: 20,
      isActive: () => item.active,
      activeStateChanged: item.activeChanged,
    });
    const following = (): boolean => store.complete && store.state === 'open';
    const fromStore = (): void => {
      if (following()) item.tell([...store.glances.values()]);
    };
    store.subscribe((change) => {
      if (change.point === undefined) fromStore();
    });
    const look = async (): Promise<void> => {
      if (!deployments.choices.statusBar) {
        item.tell(null);
        return;
      }
      if (deployments.link !== 'there' && (await deployments.check()) !== 'there') {
        item.tell(null);
        return;
      }
      if (following()) {
        fromStore();
        return;
      }
      item.tell(await deployments.transport.call<Glance[]>('GET', '/glances'));
    };
    const poll = new Poll({
      name: 'autodeploy-magic:status',
      factory: look,
      frequency: { interval: EVERY_MS, backoff: true, max: 120_000 },
      standby: 'when-hidden',
    });
    poll.ticked.connect((_, { phase }) => {
      if (phase === 'rejected') item.tell(null);
    });
    deployments.choices.changed.connect(() => void poll.refresh());
    deployments.linkChanged.connect(() => void poll.refresh());
  },
};
