// A notification of the browser for a new critical alert and for a re-tune's end, where the person has asked for them.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification as Toast } from '@jupyterlab/apputils';

import type { Retune } from '../api/retunes';
import type { Alert } from '../api/types';
import { Ended, isLookedAt, News } from '../sidebar/news';
import { Commands, IDeployments } from './tokens';

/** How the browser stands to notifications; "missing" where it has none, as in a page without HTTPS. */
type Standing = NotificationPermission | 'missing';

function standing(): Standing {
  return typeof globalThis.Notification === 'function' ? globalThis.Notification.permission : 'missing';
}

export const notify: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:notify',
  description:
    'Notifications of the browser for critical alerts and re-tunes that end, where they are asked for.',
  autoStart: true,
  requires: [IDeployments],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, deployments: IDeployments, palette: ICommandPalette | null) => {
    const { trans, choices, seen, store, transport } = deployments;
    let news = new News();
    const ended = new Ended();
    let on = false;

    /** One tag for each thing that is told: several windows of one browser show it once. */
    const show = (name: string, title: string, body: string, id: string): void => {
      if (isLookedAt(name)) return;
      const shown = new globalThis.Notification(title, { body, tag: `autodeploy-${id}` });
      shown.onclick = () => {
        window.focus();
        shown.close();
        void app.commands.execute(Commands.openPanel, { name });
      };
    };
    const showAlert = ({ name, text, id }: Alert): void =>
      show(
        name,
        trans('%1: %2', name, text),
        trans('Critical; open its panel for what was done about it.'),
        id,
      );
    const showRetune = async (name: string): Promise<void> => {
      try {
        const path = `/deployments/${encodeURIComponent(name)}/retunes`;
        const [last] = await transport.call<Retune[]>('GET', path);
        if (last === undefined || last.state === 'running') return;
        const told = last.outcome || last.error || last.state;
        show(
          name,
          trans('re-tune of %1: %2', name, told),
          trans('Open its panel for the candidates.'),
          last.id,
        );
      } catch (thrown) {
        console.warn(`The re-tune of ${name} has ended, and what came of it could not be read.`, thrown);
      }
    };

    seen.changed.connect((_, glances) => {
      if (glances === null || !on) return;
      const fresh = news.take(glances, store.now());
      const over = ended.take(glances);
      if (standing() !== 'granted') return;
      fresh.forEach(showAlert);
      for (const name of over) void showRetune(name);
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
      caption: trans(
        'Have the browser tell of a new critical alert, and how a re-tune ended, while the page is not looked at',
      ),
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
