// One-click deploy: asks the notebook's kernel what it has, asks the person which, writes the cell and runs it.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { Widget } from '@lumino/widgets';

import { DeployError, type Trans } from '../api/transport';
import { deployCell, LOAD, type Choice } from '../deploy/cell';
import { DeployForm, type FormOptions } from '../deploy/form';
import type { Found } from '../deploy/found';
import { proposeName } from '../deploy/name';
import { insertBelow } from './cells';
import { deployIcon } from './icons';
import { askKernel, pythonKernel } from './kernel';
import { showError } from './say';
import { Commands, IDeployments } from './tokens';

export const deploy: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:deploy',
  description: 'Deploys a model of the open notebook.',
  autoStart: true,
  requires: [IDeployments],
  optional: [INotebookTracker, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    { trans }: IDeployments,
    notebooks: INotebookTracker | null,
    palette: ICommandPalette | null,
  ) => {
    app.commands.addCommand(Commands.deploy, {
      label: (args) =>
        args['toolbar'] === true ? trans('Deploy') : trans('Deploy a Model of This Notebook…'),
      caption: trans('Deploy a model of this notebook'),
      icon: (args) => (args['isPalette'] === true ? undefined : deployIcon),
      describedBy: {
        args: {
          type: 'object',
          properties: { isPalette: { type: 'boolean', description: 'Whether it is shown without an icon.' } },
        },
      },
      execute: async () => {
        try {
          await deployFrom(notebooks?.currentWidget ?? null, trans, (id) => app.shell.activateById(id));
        } catch (thrown) {
          await showError(trans('Deploy'), thrown, trans);
        }
      },
    });
    palette?.addItem({ command: Commands.deploy, category: trans('Deployments'), args: { isPalette: true } });
  },
};

async function deployFrom(
  panel: NotebookPanel | null,
  trans: Trans,
  activate: (id: string) => void,
): Promise<void> {
  if (panel === null)
    throw new DeployError({
      error: 'NoNotebook',
      what: trans('no notebook is open'),
      why: trans('the model to deploy is in the memory of a notebook’s kernel'),
      fix: trans('open the notebook that trains it, run its cells, and press Deploy again'),
    });
  const kernel = await pythonKernel(panel.sessionContext, trans);
  const found = await look(kernel, trans);
  if (found === null) return;
  if (found.models.length === 0)
    throw new DeployError({
      error: 'NoModel',
      what: trans('no fitted model is in the memory of %1', panel.title.label),
      why: trans('nothing among its variables looks like a model that can be deployed'),
      fix: trans('run the cell that trains or loads the model, and press Deploy again'),
    });
  const name = proposeName(panel.title.label) || proposeName(found.models[0]?.name ?? '');
  const choice = await askPerson({ found, name: name === 'untitled' ? '' : name, trans });
  if (choice === null) return;
  activate(panel.id);
  await writeAndRun(panel, choice, found.loaded, trans);
}

/** What the kernel has; null where the person does not want to wait for it. */
async function look(kernel: Kernel.IKernelConnection, trans: Trans): Promise<Found | null> {
  if (kernel.status !== 'busy') return askKernel(kernel, trans, false);
  const answer = await showDialog({
    title: trans('The kernel is busy'),
    body: trans('It runs a cell, and can be asked for its models once that is done.'),
    buttons: [
      Dialog.cancelButton({ label: trans('Cancel') }),
      Dialog.okButton({ label: trans('Wait for It') }),
    ],
  });
  if (!answer.button.accept) return null;
  const id = Notification.emit(trans('Waiting for the kernel…'), 'in-progress', { autoClose: false });
  try {
    return await askKernel(kernel, trans, true);
  } finally {
    Notification.dismiss(id);
  }
}

class FormBody extends Widget implements Dialog.IBodyWidget<Choice | null> {
  private readonly form: DeployForm;

  constructor(options: FormOptions) {
    super();
    this.form = new DeployForm({ ...options, onChange: (valid) => this.allow(valid) });
    this.node.append(this.form.node);
  }

  getValue(): Choice | null {
    return this.form.choice;
  }

  protected override onAfterAttach(): void {
    this.form.show();
  }

  private allow(valid: boolean): void {
    const button = this.node.closest('.jp-Dialog')?.querySelector<HTMLButtonElement>('button.jp-mod-accept');
    if (button) button.disabled = !valid;
  }
}

async function askPerson(options: FormOptions): Promise<Choice | null> {
  const { trans } = options;
  const answer = await showDialog({
    title: trans('Deploy a model'),
    body: new FormBody(options),
    buttons: [Dialog.cancelButton({ label: trans('Cancel') }), Dialog.okButton({ label: trans('Deploy') })],
    focusNodeSelector: 'input[type=text]',
  });
  return answer.button.accept ? answer.value : null;
}

/** Put the cell below the active one, with the line that loads the magics before it where that is wanted, and run. */
async function writeAndRun(
  panel: NotebookPanel,
  choice: Choice,
  loaded: boolean,
  trans: Trans,
): Promise<void> {
  const sources = loaded ? [deployCell(choice)] : [LOAD, deployCell(choice)];
  const cells = insertBelow(panel, sources, trans);
  await NotebookActions.runCells(panel.content, cells, panel.sessionContext);
}
