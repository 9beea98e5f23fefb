import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILauncher } from '@jupyterlab/launcher';

import { Commands, IDeployments } from './tokens';

export const launcher: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:launcher',
  description: 'A card in the launcher.',
  autoStart: true,
  requires: [IDeployments],
  optional: [ILauncher],
  activate: (_app: JupyterFrontEnd, { trans }: IDeployments, cards: ILauncher | null) => {
    cards?.add({ command: Commands.show, category: trans('Other'), rank: 20, args: { isLauncher: true } });
  },
};
