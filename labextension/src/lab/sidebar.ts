// The sidebar "Deployments": the list as a widget, and what its menu does.

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { CommandRegistry } from '@lumino/commands';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import { Menu, Widget } from '@lumino/widgets';

import { DeploymentList } from '../sidebar/list';
import { servingIcon } from './icons';
import { Commands, IDeployments } from './tokens';

const ID = 'autodeploy-deployments';

const MENU: readonly (string | null)[] = [
  Commands.openPanel,
  Commands.openPage,
  Commands.copyUrl,
  null,
  Commands.test,
  Commands.logs,
  null,
  Commands.start,
  Commands.stop,
  Commands.restart,
  Commands.retune,
  Commands.rollback,
  null,
  Commands.remove,
];

export class Sidebar extends Widget {
  private readonly list: DeploymentList;
  private following: IDisposable | null = null;

  constructor(
    private readonly commands: CommandRegistry,
    private readonly deployments: IDeployments,
  ) {
    super();
    this.id = ID;
    this.addClass('adm-theme');
    this.addClass('adm-SidebarWidget');
    this.title.icon = servingIcon;
    this.title.caption = deployments.trans('Deployments');
    const run = (command: string, name?: string): void => {
      void commands.execute(command, name === undefined ? {} : { name });
    };
    this.list = new DeploymentList({
      store: deployments.store,
      trans: deployments.trans,
      refreshS: deployments.choices.refreshS,
      open: (name) => run(Commands.openPanel, name),
      start: (name) => run(Commands.start, name),
      remove: (name) => run(Commands.remove, name),
      menu: (name, anchor) => this.openMenu(name, anchor),
      deploy: () => run(Commands.deploy),
      check: () => void deployments.check(),
    });
    this.list.setLink(deployments.link, deployments.refusal);
    this.node.append(this.list.node);
    deployments.linkChanged.connect(this.onLink, this);
    deployments.choices.changed.connect(this.onChoices, this);
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.following?.dispose();
    this.list.dispose();
    super.dispose();
  }

  protected override onBeforeShow(message: Message): void {
    super.onBeforeShow(message);
    this.following ??= this.deployments.follow();
    this.list.draw();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.following?.dispose();
    this.following = null;
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.list.focus();
  }

  private onLink(): void {
    this.list.setLink(this.deployments.link, this.deployments.refusal);
  }

  private onChoices(): void {
    this.list.setRefresh(this.deployments.choices.refreshS);
  }

  private openMenu(name: string, anchor: HTMLElement): void {
    const menu = new Menu({ commands: this.commands });
    menu.title.label = this.deployments.trans('What to do with %1', name);
    for (const command of MENU) {
      if (command === null) menu.addItem({ type: 'separator' });
      else if (this.fits(command, name)) menu.addItem({ command, args: { name } });
    }
    const place = anchor.getBoundingClientRect();
    anchor.setAttribute('aria-expanded', 'true');
    menu.aboutToClose.connect(() => {
      anchor.removeAttribute('aria-expanded');
      anchor.focus();
      // The menu closes before it runs what was chosen.
      setTimeout(() => menu.dispose(), 1000);
    });
    menu.open(place.left, place.bottom);
    menu.activateNextItem();
  }

  /** Start, or Stop and Restart: what cannot be done is left out. */
  private fits(command: string, name: string): boolean {
    const either: readonly string[] = [
      Commands.start,
      Commands.stop,
      Commands.restart,
      Commands.retune,
      Commands.openPage,
    ];
    return (
      this.commands.hasCommand(command) &&
      (!either.includes(command) || this.commands.isEnabled(command, { name }))
    );
  }
}

export const sidebar: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:sidebar',
  description: 'The sidebar with every deployment.',
  autoStart: true,
  requires: [IDeployments],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    deployments: IDeployments,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
  ) => {
    const { trans, choices } = deployments;
    let widget: Sidebar | null = null;

    const add = (): Sidebar => {
      if (widget === null || widget.isDisposed) {
        widget = new Sidebar(app.commands, deployments);
        restorer?.add(widget, ID);
      }
      if (!widget.isAttached) app.shell.add(widget, 'left', { rank: 600 });
      return widget;
    };
    const follow = (): void => {
      if (choices.sidebar) add();
      else widget?.close();
    };
    follow();
    choices.changed.connect(follow);

    app.commands.addCommand(Commands.show, {
      label: (args) => (args['isPalette'] === true ? trans('Show the Deployments') : trans('Deployments')),
      caption: trans('Show or hide the sidebar with every deployment'),
      icon: (args) => (args['isLauncher'] === true ? servingIcon : undefined),
      describedBy: {
        args: {
          type: 'object',
          properties: { toggle: { type: 'boolean', description: 'Hide it where it is shown.' } },
        },
      },
      isToggleable: false,
      execute: (args) => {
        const shown = add();
        if (args['toggle'] === true && shown.isVisible && labShell !== null) labShell.collapseLeft();
        else app.shell.activateById(shown.id);
      },
    });
    palette?.addItem({ command: Commands.show, category: trans('Deployments'), args: { isPalette: true } });
  },
};
