// Containerize: an image of the version that serves, with an engine that is there, or as an archive without one.

import type { Image } from '../api/types';
import { freshId, h } from './dom';
import { button, type Context } from './part';
import { radiosOf } from './radios';

/** What POST …/containerize is given. */
export interface Wanted {
  engine: string;
  flavour: '' | 'bento';
  base: string;
}

/** The engine that is none: an OCI archive is written into the folder of the deployment's server. */
export const ARCHIVE = 'archive';

export function containerizeDialog(context: Context, build: (wanted: Wanted) => void): void {
  const { model, trans, dialogs } = context;
  const engines = model.view?.engines ?? [];
  const version = model.glance?.status.version ?? 0;
  const wanted: Wanted = { engine: engines[0] ?? ARCHIVE, flavour: '', base: '' };
  const choices: [string, string, string][] = engines.map((engine) => [engine, engine, '']);
  choices.push([ARCHIVE, trans('No engine'), trans('an OCI archive, which every engine and registry takes')]);
  const base = h('input', {
    attrs: {
      type: 'text',
      id: freshId('base'),
      placeholder: 'python:3.X-slim-bookworm',
      spellcheck: 'false',
    },
  });
  const body = h(
    'div',
    {},
    h('p', {
      class: 'adm-mut',
      text: trans(
        'Builds an image that serves this version as it is served here, starts it once, and holds its answers to the sample’s.',
      ),
    }),
    engines.length === 0
      ? h('p', {
          text: trans(
            'No container engine was found on the machine that serves. Without one, an archive is written; Docker or Podman would also start it.',
          ),
        })
      : null,
    radiosOf<string>(
      h('legend', { class: 'adm-mut', text: trans('Engine') }),
      choices,
      wanted.engine,
      (engine) => {
        wanted.engine = engine;
      },
    ),
    radiosOf<Wanted['flavour']>(
      h('legend', { class: 'adm-mut', text: trans('What is in it') }),
      [
        ['', trans('Lean'), trans('the serving road and what the version needs, nothing else')],
        ['bento', trans('BentoML’s'), trans('all that BentoML brings')],
      ],
      wanted.flavour,
      (flavour) => {
        wanted.flavour = flavour;
      },
    ),
    h(
      'p',
      {},
      h('label', { class: 'adm-mut', text: trans('Base image'), attrs: { for: base.id } }),
      ' ',
      base,
    ),
  );
  const opened = dialogs.open(trans('Containerize v%1', version), body, [
    button(trans('Cancel'), () => opened.close()),
    button(
      trans('Build the image'),
      () => {
        opened.close();
        build({ ...wanted, base: base.value.trim() });
      },
      { class: 'adm-primary' },
    ),
  ]);
}

/** What is said of an image that was built: that it is proved, and what runs it. */
export function imageText(context: Context, image: Image): { what: string; code: string } {
  const { trans } = context;
  const megabytes = String(Math.round(image.size_bytes / 1e6));
  return {
    what: trans(
      '%1 is built (%2 MB) and proved: %3 rows answered as verified. Run it:',
      image.archive === '' ? image.name : image.archive,
      megabytes,
      image.rows,
    ),
    code: image.run.join('\n'),
  };
}
