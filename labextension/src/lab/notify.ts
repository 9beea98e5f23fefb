// A notification of the browser for a new critical alert, where the person has asked for them.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification as Toast } from '@jupyterlab/apputils';

import type { Alert } from '../api/types';
import { isLookedAt, News } from '../sidebar/news';
import { Commands, IDeployments } from './tokens';

/** How the browser stands to notifications; "missing" where it has none, as in a page without HTTPS. */
type Standing = NotificationPermission | 'missing';

function standing(): Standing {
  return typeof globalThis.Notification === 'function' ? globalThis.Notification.permission : 'missing';
}

export const notify: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:notify',
  description: 'Notifications of the browser for critical alerts, where they are asked for.',
  autoStart: true,
  requires: [IDeployments],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, deployments: IDeployments, palette: ICommandPalette | null) => {
    const { trans, choices, seen, store } = deployments;
    let news = new News();
    let on = false;

    const show = (alert: Alert): void => {
      if (isLookedAt(alert.name)) return;
      // One tag for each alert: several windows of one browser show it once.
      const shown = new globalThis.Notification(trans('%1: %2', alert.name, alert.text), {
        body: trans('Critical; open its panel for what was done about it.'),
        tag: `autodeploy-${alert.id}`,
      });
      shown.onclick = () => {
        window.focus();
        shown.close();
        void app.commands.execute(Commands.openPanel, { name: alert.name });
      };
    };

    seen.changed.connect((_, glances) => {
      if (glances === null || !on) return;
      const fresh = news.take(glances, store.now());
      if (standing() === 'granted') fresh.forEach(show);
    });

    /** Only what the person does asks the browser: a setting that is on at the start of a page does not. */
    const follow = (by: 'page' | 'person'): void => {
      const wanted = choices.notifications;
      const turned = wanted && !on;
      on = wanted;
      if (turned) news = new News();
      if (turned && by === 'person' && standing() === 'default')
        void globalThis.Notification.requestPermission().then(look);
      look();
    };
    const look = (): void => seen.want('notify', on && standing() === 'granted', true);
    follow('page');
    choices.changed.connect((_, by) => follow(by));

    app.commands.addCommand(Commands.notify, {
      label: trans('Notify Me of Critical Alerts'),
      caption: trans('Have the browser tell of a new critical alert while the page is not looked at'),
      isToggleable: true,
      isToggled: () => choices.notifications && standing() === 'granted',
      isEnabled: () => standing() !== 'missing',
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const wanted = !(choices.notifications && standing() === 'granted');
        const answer =
          wanted && standing() === 'default' ? await globalThis.Notification.requestPermission() : standing();
        if (wanted && answer !== 'granted')
          Toast.warning(
            trans(
              'This browser does not allow notifications of this page: its settings for the page say so.',
            ),
            { autoClose: 8000 },
          );
        await choices.set('notifications', wanted && answer === 'granted');
        app.commands.notifyCommandChanged(Commands.notify);
      },
    });
    palette?.addItem({ command: Commands.notify, category: trans('Deployments') });
  },
};
