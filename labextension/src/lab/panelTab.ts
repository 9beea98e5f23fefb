// A deployment's panel as a tab: the same panel as in a notebook, without a kernel.

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
} from '@jupyterlab/application';
import { Clipboard, ICommandPalette, InputDialog, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { Panel } from '../panel/panel';
import { insertBelow } from './cells';
import { servingIcon } from './icons';
import { place } from './place';
import { errorBody, showError } from './say';
import { Commands, IDeployments } from './tokens';

export class PanelBody extends Widget {
  private panel: Panel | null = null;
  private following: IDisposable | null = null;
  private asked = false;

  constructor(
    readonly name: string,
    public seconds: number,
    private readonly deployments: IDeployments,
    private readonly chosen: () => void,
    private readonly toCell: (code: string) => Promise<string>,
  ) {
    super();
    this.addClass('adm-theme');
    this.addClass('adm-PanelTab');
    this.node.tabIndex = -1;
    deployments.linkChanged.connect(this.onLink, this);
  }

  /** Open the dialog of a re-tune, once the panel is there. */
  retune(): void {
    this.asked = true;
    this.ask();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.following?.dispose();
    this.clear();
    super.dispose();
  }

  // A tab that is not looked at follows nothing.
  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this.isVisible) this.make(); // the first tab of an area is never shown: it is there
  }

  protected override onBeforeShow(message: Message): void {
    super.onBeforeShow(message);
    this.following ??= this.deployments.follow();
    this.make();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.following?.dispose();
    this.following = null;
    this.clear();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus();
  }

  private onLink(): void {
    if (this.isVisible) this.make();
  }

  private make(): void {
    if (this.deployments.link === 'missing') {
      this.clear();
      this.node.append(errorBody(this.deployments.refusal).node);
      return;
    }
    if (this.panel !== null) return;
    this.clear();
    const { transport, store, trans } = this.deployments;
    this.panel = new Panel({
      name: this.name,
      transport,
      store,
      trans,
      seconds: this.seconds,
      proxyUrl: transport.proxyUrl(this.name),
      confirmStop: this.deployments.choices.confirmStop,
      onSeconds: (seconds) => {
        this.seconds = seconds;
        this.chosen();
      },
      toCell: this.toCell,
      copy: (text) => {
        Clipboard.copyToSystem(text);
        return Promise.resolve();
      },
    });
    this.node.append(this.panel.node);
    this.ask();
  }

  private ask(): void {
    if (!this.asked || this.panel === null) return;
    this.asked = false;
    this.panel.retune();
  }

  private clear(): void {
    this.panel?.dispose();
    this.panel = null;
    this.node.replaceChildren();
  }
}

export const panelTab: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:panel',
  description: "A deployment's panel as a tab.",
  autoStart: true,
  requires: [IDeployments],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette, INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    deployments: IDeployments,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    notebooks: INotebookTracker | null,
  ) => {
    const { trans, choices } = deployments;
    const tracker = new WidgetTracker<MainAreaWidget<PanelBody>>({ namespace: 'autodeploy-panels' });

    app.commands.addCommand(Commands.openPanel, {
      label: (args) => (args['isPalette'] === true ? trans('Open a Panel…') : trans('Open Panel')),
      caption: trans('Chart, versions, incidents and actions of a deployment'),
      describedBy: {
        args: {
          type: 'object',
          properties: {
            name: { type: 'string', description: 'The deployment; without it the person is asked.' },
            seconds: { type: 'number', description: 'How much time the chart shows.' },
            dialog: { type: 'string', description: '"retune" opens the dialog of a re-tune, too.' },
          },
        },
      },
      execute: async (args) => {
        const name = typeof args['name'] === 'string' ? args['name'] : await choose(deployments);
        if (name === null) return;
        const open = tracker.find((tab) => tab.content.name === name);
        const tab = open ?? make(name, Number(args['seconds'] ?? choices.seconds));
        place(tab, app, labShell);
        if (args['dialog'] === 'retune') tab.content.retune();
      },
    });
    palette?.addItem({
      command: Commands.openPanel,
      category: trans('Deployments'),
      args: { isPalette: true },
    });

    /** Put a code into the notebook that was used last; where there is none, onto the clipboard. */
    function toCell(code: string): Promise<string> {
      const notebook = notebooks?.currentWidget ?? null;
      if (notebook === null || notebook.isDisposed) {
        Clipboard.copyToSystem(code);
        return Promise.resolve(
          trans('No notebook is open: the code is copied. Paste it into a cell, and run it'),
        );
      }
      insertBelow(notebook, [code], trans);
      return Promise.resolve(trans('A cell is in %1 now: run it there', notebook.title.label));
    }

    function make(name: string, seconds: number): MainAreaWidget<PanelBody> {
      const save = (): void => void tracker.save(tab);
      const content: PanelBody = new PanelBody(name, seconds, deployments, save, toCell);
      const tab = new MainAreaWidget({ content });
      tab.toolbar.hide(); // the panel has its own
      tab.id = `autodeploy-panel-${name}`;
      tab.title.label = name;
      tab.title.caption = trans('Deployment %1', name);
      tab.title.icon = servingIcon;
      tab.title.closable = true;
      void tracker.add(tab);
      return tab;
    }

    void restorer?.restore(tracker, {
      command: Commands.openPanel,
      args: (tab) => ({ name: tab.content.name, seconds: tab.content.seconds }),
      name: (tab) => tab.content.name,
    });
  },
};

async function choose({ transport, trans }: IDeployments): Promise<string | null> {
  const title = trans('Open a Panel');
  try {
    const glances = await transport.call<{ status: { name: string } }[]>('GET', '/glances');
    const items = glances.map((glance) => glance.status.name).sort();
    if (items.length === 0) throw new Error(trans('nothing is deployed'));
    const answer = await InputDialog.getItem({ title, label: trans('Deployment'), items });
    return answer.button.accept ? answer.value : null;
  } catch (thrown) {
    await showError(title, thrown, trans);
    return null;
  }
}
