// Roll back, or promote: which version is to serve.

import type { Status, VersionLine } from '../api/types';
import { freshId, h, setText } from './dom';
import { momentText, sizeText } from './format';
import { button, disable, type Context } from './part';
import { formatText, roleTag } from './words';

/** Let the reader choose a version; `wanted` is chosen at first. */
export function rollbackDialog(context: Context, wanted?: number): void {
  const { model, trans, dialogs } = context;
  const versions = model.view?.versions ?? [];
  const current =
    versions.find((version) => version.role === 'champion')?.number ?? model.glance?.status.version ?? 0;
  const others = versions.filter((version) => version.number !== current);
  let chosen = wanted ?? (model.view?.rollback_to || others[0]?.number || 0);
  const group = freshId('version');
  const go = button('', () => {
    opened.close();
    const back = chosen < current;
    const title = back ? trans('Roll back to v%1', chosen) : trans('Promote v%1', chosen);
    void model.act<Status>(back ? 'rollback' : 'promote', title, { version: chosen }, (status) =>
      trans('v%1 serves now', status.version),
    );
  });
  go.classList.add('adm-primary');
  const choose = (number: number): void => {
    chosen = number;
    setText(go, number < current ? trans('Roll back to v%1', number) : trans('Promote v%1', number));
    disable(go, number === current || number === 0 ? trans('That version serves already') : '');
  };
  const now = model.store.now();
  const rows = versions.map((version) =>
    versionRow(version, context, group, version.number === chosen, now, choose),
  );
  const body = h(
    'div',
    {},
    h('p', {
      class: 'adm-mut',
      text: trans(
        'The version is loaded and checked first, then takes over; no request is lost. Where it cannot be loaded, nothing changes.',
      ),
    }),
    h(
      'fieldset',
      { class: 'adm-choices' },
      h('legend', { class: 'adm-spoken', text: trans('Version') }),
      ...rows,
    ),
  );
  choose(chosen);
  const opened = dialogs.open(trans('Roll back or promote'), body, [
    button(trans('Cancel'), () => opened.close()),
    go,
  ]);
  body.querySelector<HTMLInputElement>('input:checked')?.focus({ preventScroll: true });
}

function versionRow(
  version: VersionLine,
  context: Context,
  group: string,
  checked: boolean,
  now: number,
  choose: (number: number) => void,
): HTMLElement {
  const { trans } = context;
  const serves = version.role === 'champion';
  const radio = h('input', {
    attrs: { type: 'radio', name: group, value: version.number, ...(serves ? { disabled: '' } : {}) },
    on: { change: () => choose(version.number) },
  });
  radio.checked = checked;
  const built = Date.parse(version.created_at) / 1000;
  const facts = [
    formatText(version.format),
    sizeText(version.size_bytes),
    ...(Number.isNaN(built) ? [] : [trans('built %1', momentText(built, now))]),
    ...(version.note === '' ? [] : [version.note]),
  ];
  const trust =
    version.trust === 'amber'
      ? h('span', { class: 'adm-tag adm-warn', text: `! ${trans('pickled')}` })
      : null;
  return h(
    'label',
    { class: 'adm-choice' },
    radio,
    h('b', { text: `v${version.number}` }),
    roleTag(version, context),
    trust,
    h('span', { class: 'adm-mut adm-facts', text: facts.join(' · ') }),
  );
}
