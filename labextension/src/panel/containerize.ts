// Containerize: an image of the version that serves, with an engine that is there.

import { freshId, h } from './dom';
import { button, type Context } from './part';

export function containerizeDialog(context: Context, build: (engine: string) => void): void {
  const { model, trans, dialogs } = context;
  const engines = model.view?.engines ?? [];
  const version = model.glance?.status.version ?? 0;
  const title = trans('Containerize v%1', version);
  if (engines.length === 0) {
    const opened = dialogs.open(
      title,
      h(
        'div',
        {},
        h('p', { text: trans('No container engine was found on the machine that serves.') }),
        h('p', {
          class: 'adm-mut',
          text: trans(
            'Install Docker, Podman or another engine that BentoML knows, start it, and open this again. The Bento itself needs none: it is in the state folder, and `bentoml serve` runs it.',
          ),
        }),
      ),
      [button(trans('Close'), () => opened.close())],
    );
    return;
  }
  const group = freshId('engine');
  const choices = engines.map((engine, i) => {
    const radio = h('input', { attrs: { type: 'radio', name: group, value: engine } });
    radio.checked = i === 0;
    return { engine, radio, node: h('label', { class: 'adm-choice' }, radio, engine) };
  });
  const body = h(
    'div',
    {},
    h('p', {
      class: 'adm-mut',
      text: trans(
        'Builds an image that serves this version as it is served here. The first build downloads a base image and takes minutes.',
      ),
    }),
    h(
      'fieldset',
      { class: 'adm-choices' },
      h('legend', { class: 'adm-mut', text: trans('Engine') }),
      ...choices.map((choice) => choice.node),
    ),
  );
  const opened = dialogs.open(title, body, [
    button(trans('Cancel'), () => opened.close()),
    button(
      trans('Build the image'),
      () => {
        opened.close();
        build(choices.find((choice) => choice.radio.checked)?.engine ?? engines[0] ?? '');
      },
      { class: 'adm-primary' },
    ),
  ]);
}
