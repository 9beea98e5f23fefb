// The last lines of a deployment's workers, as a tab.

import { ILabShell, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { MainAreaWidget, ToolbarButton } from '@jupyterlab/apputils';
import { refreshIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { DeployError } from '../api/transport';
import { h, setText } from '../panel/dom';
import { servingIcon } from './icons';
import { place } from './place';
import { Commands, IDeployments } from './tokens';

const LINES = 500;

class Logs extends Widget {
  private readonly text = h('pre', { class: 'adm-Logs-text', attrs: { tabindex: '0' } });

  constructor(
    readonly name: string,
    private readonly deployments: IDeployments,
  ) {
    super();
    this.addClass('adm-theme');
    this.addClass('adm-Logs');
    this.text.setAttribute('aria-label', deployments.trans('Log of %1', name));
    this.node.append(this.text);
  }

  async read(): Promise<void> {
    const { transport, trans } = this.deployments;
    const path = `/deployments/${encodeURIComponent(this.name)}/logs?lines=${LINES}`;
    try {
      const text = await transport.call<string>('GET', path);
      setText(this.text, text.trim() === '' ? trans('Nothing is logged yet.') : text);
      this.text.scrollTop = this.text.scrollHeight;
    } catch (thrown) {
      const { what, why, fix } = DeployError.of(thrown);
      setText(this.text, [what, why, fix].filter((line) => line !== '').join('\n'));
    }
  }
}

export const logs: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:logs',
  description: "A deployment's log as a tab.",
  autoStart: true,
  requires: [IDeployments],
  optional: [ILabShell],
  activate: (app: JupyterFrontEnd, deployments: IDeployments, labShell: ILabShell | null) => {
    const { trans } = deployments;
    const open = new Map<string, MainAreaWidget<Logs>>();
    app.commands.addCommand(Commands.logs, {
      label: trans('Logs'),
      caption: trans('The last lines that its workers wrote'),
      describedBy: {
        args: {
          type: 'object',
          properties: { name: { type: 'string', description: 'The deployment.' } },
          required: ['name'],
        },
      },
      isEnabled: (args) => typeof args['name'] === 'string',
      execute: async (args) => {
        const name = args['name'];
        if (typeof name !== 'string') return;
        let tab = open.get(name);
        if (tab === undefined || tab.isDisposed) {
          tab = make(name);
          open.set(name, tab);
        }
        place(tab, app, labShell);
        await tab.content.read();
      },
    });

    function make(name: string): MainAreaWidget<Logs> {
      const content = new Logs(name, deployments);
      const tab = new MainAreaWidget({ content });
      tab.id = `autodeploy-logs-${name}`;
      tab.title.label = trans('%1: log', name);
      tab.title.icon = servingIcon;
      tab.title.closable = true;
      const again = (): void => void content.read();
      tab.toolbar.addItem(
        'again',
        new ToolbarButton({ icon: refreshIcon, onClick: again, tooltip: trans('Read again') }),
      );
      return tab;
    }
  },
};
