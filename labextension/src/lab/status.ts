// The status bar: how many deployments there are, how the worst of them is, and how many alerts fire.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { Alert, Glance, State } from '../api/types';
import { h, setHidden, setText } from '../panel/dom';
import { severityMark } from '../panel/measure';
import { worst as worstOf } from '../sidebar/figures';
import { Commands, IDeployments } from './tokens';

const WORST: readonly State[] = ['failed', 'degraded', 'starting', 'running', 'stopped'];

export class StatusItem extends Widget {
  readonly activeChanged = new Signal<this, void>(this);
  active = false;
  private readonly button = h('button', { class: 'adm-theme adm-Status', attrs: { type: 'button' } });
  private readonly dot = h('span', { class: 'adm-Row-dot', attrs: { 'aria-hidden': 'true' } });
  private readonly text = h('span');
  private readonly alerts = h('span', { class: 'adm-Status-alerts', hidden: true });

  constructor(
    private readonly deployments: IDeployments,
    open: () => void,
  ) {
    super();
    this.button.append(this.dot, this.text, this.alerts);
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
      this.tellAlerts(glances.flatMap((glance) => glance.alerts));
      this.button.title = glances
        .flatMap((glance) => [
          `${glance.status.name}: ${stateWord(glance.status.state, trans)}`,
          ...glance.alerts.map((alert) => `  ${severityMark(alert.severity, trans).word}: ${alert.text}`),
        ])
        .join('\n');
    }
    if (active === this.active) return;
    this.active = active;
    this.activeChanged.emit();
  }

  /** How many fire, with the sign of the worst. */
  private tellAlerts(alerts: readonly Alert[]): void {
    const { trans } = this.deployments;
    const worst = worstOf(alerts);
    setHidden(this.alerts, worst === null);
    if (worst === null) return;
    const { sign, tone } = severityMark(worst.severity, trans);
    const count = alerts.length === 1 ? trans('1 alert') : trans('%1 alerts', alerts.length);
    setText(this.alerts, `${sign} ${count}`);
    this.alerts.className = `adm-Status-alerts adm-${tone}`;
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
    const item = new StatusItem(deployments, () => void app.commands.execute(Commands.show));
    item.id = 'autodeploy-status';
    statusBar.registerStatusItem('autodeploy-magic:status', {
      item,
      align: 'left',
      rank: 20,
      isActive: () => item.active,
      activeStateChanged: item.activeChanged,
    });
    const { choices, seen } = deployments;
    seen.changed.connect((_, glances) => item.tell(glances));
    const follow = (): void => {
      seen.want('status', choices.statusBar);
      if (!choices.statusBar) item.tell(null);
    };
    follow();
    choices.changed.connect(follow);
  },
};
