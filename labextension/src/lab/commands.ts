// What can be done with a deployment, as commands: for the palette, the sidebar's menu and other extensions.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, ICommandPalette, InputDialog, Notification } from '@jupyterlab/apputils';
import type { ReadonlyJSONObject } from '@lumino/coreutils';

import type { Glance, Probe, Status, View } from '../api/types';
import { durationText } from '../panel/format';
import { confirm, showError, told } from './say';
import { Commands, IDeployments } from './tokens';
import { pageUrl } from './urls';

const NAME: ReadonlyJSONObject = {
  type: 'object',
  properties: {
    name: { type: 'string', description: 'The deployment; without it the person is asked.' },
    isPalette: { type: 'boolean', description: 'Whether the label stands alone.' },
  },
};

export const commands: JupyterFrontEndPlugin<void> = {
  id: 'autodeploy-magic:commands',
  description: 'Test, stop, start, restart, re-tune, roll back and remove deployments.',
  autoStart: true,
  requires: [IDeployments],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, deployments: IDeployments, palette: ICommandPalette | null) => {
    const { trans, transport } = deployments;
    const path = (name: string, verb = ''): string => `/deployments/${encodeURIComponent(name)}${verb}`;

    const verbs: Verb[] = [
      {
        command: Commands.test,
        label: trans('Test'),
        inPalette: trans('Test a Deployment…'),
        about: trans('Send a row of the sample, as a client would'),
        run: async ({ status: { name } }) => {
          await told(
            transport.call<Probe>('POST', path(name, '/test'), { rows: 1 }),
            {
              doing: trans('Testing %1…', name),
              done: (probe) => probeText(name, probe),
              failed: trans('The test of %1 failed', name),
            },
            trans,
          );
        },
      },
      {
        command: Commands.start,
        label: trans('Start'),
        inPalette: trans('Start a Deployment…'),
        about: trans('Start a stopped deployment'),
        enabled: (glance) => glance.status.state === 'stopped',
        run: ({ status: { name } }) =>
          change(name, '/start', trans('Starting %1…', name), trans('%1 runs', name)),
      },
      {
        command: Commands.stop,
        label: trans('Stop'),
        inPalette: trans('Stop a Deployment…'),
        about: trans('End the workers; the URL, its versions and metrics are kept'),
        enabled: (glance) => glance.status.state !== 'stopped',
        run: async ({ status: { name } }) => {
          const text = trans(
            'Its URL stops answering until it is started again. Versions and metrics are kept.',
          );
          const ask = deployments.choices.confirmStop;
          if (ask && !(await confirm(trans('Stop %1?', name), text, trans('Stop'), trans, true))) return;
          await change(name, '/stop', trans('Stopping %1…', name), trans('%1 is stopped', name));
        },
      },
      {
        command: Commands.restart,
        label: trans('Restart'),
        inPalette: trans('Restart a Deployment…'),
        about: trans('New workers take over, then the old ones end'),
        enabled: (glance) => glance.status.state !== 'stopped',
        run: ({ status: { name } }) =>
          change(name, '/restart', trans('Restarting %1…', name), trans('%1 was restarted', name)),
      },
      {
        command: Commands.rollback,
        label: trans('Roll Back…'),
        inPalette: trans('Roll a Deployment Back…'),
        about: trans('Serve the version from before'),
        run: ({ status }) => rollBack(status),
      },
      {
        command: Commands.retune,
        label: trans('Re-Tune…'),
        inPalette: trans('Re-Tune a Deployment…'),
        about: trans('Search what makes it faster, smaller or more right, and prove it'),
        enabled: (glance) => glance.status.state !== 'stopped',
        run: ({ status: { name } }) => {
          void app.commands.execute(Commands.openPanel, { name, dialog: 'retune' });
        },
      },
      {
        command: Commands.copyUrl,
        label: trans('Copy URL'),
        inPalette: trans('Copy the URL of a Deployment…'),
        about: trans('The address that programs on this machine call'),
        run: ({ status }) => {
          Clipboard.copyToSystem(status.url);
          Notification.success(trans('Copied %1', status.url), { autoClose: 3000 });
        },
      },
      {
        command: Commands.openPage,
        label: trans('Open Its Page'),
        inPalette: trans('Open the Page of a Deployment…'),
        about: trans('Try it in the browser'),
        enabled: (glance) => glance.status.state === 'running' || glance.status.state === 'degraded',
        run: (glance) => {
          window.open(pageUrl(glance, transport.proxyUrl(glance.status.name)), '_blank', 'noopener');
        },
      },
      {
        command: Commands.remove,
        label: trans('Remove…'),
        inPalette: trans('Remove a Deployment…'),
        about: trans('Delete the deployment with its versions, metrics and logs'),
        run: async ({ status: { name, url } }) => {
          const text = trans(
            '%1 stops answering for good. All versions of %2, its metrics, recorded requests and logs are deleted.',
            url,
            name,
          );
          const ask = deployments.choices.confirmRemove;
          if (ask && !(await confirm(trans('Remove %1?', name), text, trans('Remove'), trans, true))) return;
          await told(
            transport.call<null>('DELETE', path(name)),
            {
              doing: trans('Removing %1…', name),
              done: () => trans('%1 was removed', name),
              failed: trans('%1 was not removed', name),
            },
            trans,
          );
        },
      },
    ];

    for (const verb of verbs) {
      app.commands.addCommand(verb.command, {
        label: (args) => (args['isPalette'] === true ? verb.inPalette : verb.label),
        caption: verb.about,
        describedBy: { args: NAME },
        isEnabled: (args) => {
          const glance = known(args['name']);
          return glance === undefined || (verb.enabled?.(glance) ?? true);
        },
        execute: async (args) => {
          const glance = await which(args['name'], verb);
          if (glance !== null) await verb.run(glance);
        },
      });
      palette?.addItem({ command: verb.command, category: trans('Deployments'), args: { isPalette: true } });
    }

    function known(name: unknown): Glance | undefined {
      return typeof name === 'string' ? deployments.store.glances.get(name) : undefined;
    }

    /** The deployment that is meant: by its name, the only one there is, or the one that is chosen now. */
    async function which(name: unknown, verb: Verb): Promise<Glance | null> {
      const title = verb.label.replace('…', '');
      try {
        const glances = await transport.call<Glance[]>('GET', '/glances');
        if (typeof name === 'string') {
          const named = glances.find((glance) => glance.status.name === name);
          if (named !== undefined) return named;
          throw new Error(trans('there is no deployment %1', name));
        }
        const fitting = glances.filter((glance) => verb.enabled?.(glance) ?? true);
        const names = fitting.map((glance) => glance.status.name).sort();
        if (names.length === 0)
          throw new Error(trans('no deployment can be meant: there is none in a state for it'));
        const answer = await InputDialog.getItem({ title, label: trans('Deployment'), items: names });
        return fitting.find((glance) => answer.button.accept && glance.status.name === answer.value) ?? null;
      } catch (thrown) {
        await showError(title, thrown, trans);
        return null;
      }
    }

    async function change(name: string, verb: string, doing: string, done: string): Promise<void> {
      const failed = trans('%1 could not be changed', name);
      await told(
        transport.call<Status>('POST', path(name, verb), {}),
        { doing, done: () => done, failed },
        trans,
      );
    }

    async function rollBack({ name, version }: Status): Promise<void> {
      let view: View;
      try {
        view = await transport.call<View>('GET', path(name, '/view'));
      } catch (thrown) {
        return showError(trans('Roll %1 back', name), thrown, trans);
      }
      const to = view.rollback_to;
      if (to === 0) {
        const why = trans('Version %1 is the only one that %2 has served.', version, name);
        return showError(trans('Roll %1 back', name), new Error(why), trans);
      }
      const text = trans(
        'Version %1 takes over from version %2 without losing a request. Both are kept.',
        to,
        version,
      );
      if (!(await confirm(trans('Roll %1 back?', name), text, trans('Roll Back'), trans))) return;
      await change(
        name,
        '/rollback',
        trans('Rolling %1 back…', name),
        trans('%1 serves version %2', name, to),
      );
    }

    function probeText(name: string, probe: Probe): string {
      const time = durationText(probe.seconds);
      if (probe.status !== 200) return trans('%1 answered %2 after %3', name, probe.status, time);
      if (probe.as_verified === true) return trans('%1 answered in %2, as the model does', name, time);
      if (probe.as_verified === false)
        return trans('%1 answered in %2, and NOT as the model does', name, time);
      return trans('%1 answered in %2', name, time);
    }
  },
};

interface Verb {
  command: string;
  label: string;
  inPalette: string;
  about: string;
  enabled?(glance: Glance): boolean;
  run(glance: Glance): Promise<void> | void;
}
