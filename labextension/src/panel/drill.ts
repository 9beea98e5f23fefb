// A drill: a fault that is caused on purpose, to see whether it is noticed and healed.

import type { Drill } from '../api/types';
import { h, setHidden } from './dom';
import { durationText } from './format';
import { button, disable, type Context } from './part';
import { radiosOf } from './radios';

export function drillDialog(context: Context): void {
  const { model, trans, dialogs } = context;
  const kinds: [string, string, string][] = [
    ['kill', trans('Kill'), trans('ends one worker process with SIGKILL; what it was answering is lost')],
    ['hang', trans('Hang'), trans('stops one worker process, so that it answers nothing; its requests wait')],
    ['leak', trans('Leak'), trans('has one worker take more and more memory')],
    ['slow', trans('Slow'), trans('makes the answers slow')],
    ['errors', trans('Errors'), trans('has requests fail with HTTP 500')],
    ['disk', trans('Disk'), trans('leaves it no room on the disk; nothing is written over or deleted')],
  ];
  const seconds = h('input', {
    class: 'adm-input adm-count',
    attrs: {
      type: 'number',
      min: 1,
      max: 300,
      step: 1,
      inputmode: 'numeric',
      'aria-label': trans('Seconds'),
    },
  });
  seconds.value = '30';
  let chosen = 'kill';
  const lasts = h('label', { class: 'adm-row adm-check' }, trans('for at most'), seconds, trans('seconds'));
  const radios = radiosOf(
    h('legend', { class: 'adm-spoken', text: trans('Fault') }),
    kinds,
    chosen,
    (kind) => {
      chosen = kind;
      look();
    },
  );
  radios.classList.add('adm-drills');
  const go = button(
    trans('Cause it'),
    () => {
      opened.close();
      const body = { kind: chosen, ...(chosen === 'kill' ? {} : { seconds: Number(seconds.value) }) };
      void model.act<Drill>('drill', trans('Drill: %1', chosen), body, (drill) => ({
        what: drillText(drill, context),
        keep: true,
      }));
    },
    { class: 'adm-danger' },
  );
  const look = (): void => {
    setHidden(lasts, chosen === 'kill');
    const wrong = chosen !== 'kill' && (!seconds.checkValidity() || seconds.value === '');
    disable(
      go,
      wrong ? trans('From 1 to %1 seconds', 300) : model.able ? '' : trans('Nothing can be changed now'),
    );
  };
  seconds.addEventListener('input', look);
  const body = h(
    'div',
    {},
    h('p', {
      text: trans(
        'The fault is real: it happens to the deployment that serves now, and requests of your clients may be lost. What notices it and what heals it is what would do so on a bad day.',
      ),
    }),
    radios,
    lasts,
    h('p', { class: 'adm-mut', text: recoveryNote(context) }),
  );
  look();
  const opened = dialogs.open(trans('Drill of %1', model.name), body, [
    button(trans('Cancel'), () => opened.close()),
    go,
  ]);
}

function recoveryNote({ model, trans }: Context): string {
  return {
    off: trans('Recovery is off: the fault is told, and ends by itself.'),
    suggest: trans('Recovery only suggests: press what it proposes, or wait until the fault ends by itself.'),
    act: '',
  }[model.glance?.recovery ?? 'act'];
}

/** "noticed after 0.2 s, healed after 0.4 s; 0 of 1,240 requests lost". */
export function drillText(drill: Drill, { trans }: Pick<Context, 'trans'>): string {
  if (drill.text !== '') return drill.text;
  const noticed =
    drill.detected_s === null
      ? trans('not noticed')
      : trans('noticed after %1', durationText(drill.detected_s));
  const healed =
    drill.recovered_s === null
      ? trans('not healed')
      : trans('healed after %1', durationText(drill.recovered_s));
  const lost = trans('%1 of %2 requests lost', drill.lost, drill.requests);
  return `${drill.kind}: ${noticed}, ${healed}; ${lost}`;
}
