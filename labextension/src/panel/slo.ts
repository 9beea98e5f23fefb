// The SLO: what it promises and how that stands, the line that says so, and what is done when it breaks.

import { DeployError } from '../api/transport';
import type { ObjectiveState, Recovery, Status } from '../api/types';
import { freshId, h, setHidden, setText, tableHead } from './dom';
import { percentText, UNKNOWN } from './format';
import { metricText } from './measure';
import { button, type Context, disable, errorText, link } from './part';
import { radiosOf } from './radios';

/** What the badge at the panel's head says: its text, its tone, and more. */
export function sloBadge(context: Context): {
  text: string;
  tone: 'ok' | 'warn' | 'bad' | 'mut';
  more: string;
} {
  const { model, trans } = context;
  const { glance, health } = model;
  if (model.link !== 'live' || glance === null) return { text: '', tone: 'mut', more: '' };
  const stopped = glance.status.state === 'stopped' || glance.status.state === 'failed';
  const state = stopped ? 'unset' : glance.slo_state;
  const words = {
    unset: 'SLO',
    met: `✓ ${trans('SLO met')}`,
    burning: `! ${trans('SLO burning')}`,
    broken: `✗ ${trans('SLO broken')}`,
  };
  const tones = { unset: 'mut', met: 'ok', burning: 'warn', broken: 'bad' } as const;
  const objectives = health.now?.objectives ?? [];
  const learned = glance.slo === '' && state !== 'unset';
  const text = learned ? `${words[state]} (${trans('learned')})` : words[state];
  return {
    text: state === 'unset' && !stopped ? unsetText(glance.slo, context) : text,
    tone: tones[state],
    more:
      objectives.length > 0 ? objectives.map((one) => objectiveText(one, context)).join('\n') : glance.slo,
  };
}

function unsetText(slo: string, { trans }: Context): string {
  if (slo === 'off') return trans('no SLO');
  return slo === '' ? trans('SLO: learning') : 'SLO';
}

/** "p99<50ms: 3.4 ms, met, 92 % of the budget left". */
function objectiveText(one: ObjectiveState, context: Context): string {
  const { trans } = context;
  const burn = one.burn_fast === null ? '' : trans('burns %1 ×', rateText(one.burn_fast));
  const left = one.budget_left === null ? '' : trans('%1 of the budget left', percentText(one.budget_left));
  const learned = one.learned ? trans('learned') : '';
  const facts = [metricText(one.metric, one.value), stateText(one.state, context), burn, left, learned];
  return `${one.text}: ${facts.filter((fact) => fact !== '').join(', ')}`;
}

function stateText(state: ObjectiveState['state'], { trans }: Context): string {
  return {
    unknown: trans('not measured'),
    met: trans('met'),
    burning: trans('burning'),
    broken: trans('broken'),
  }[state];
}

function rateText(rate: number): string {
  return String(Number(rate.toPrecision(2)));
}

/** The objectives as an SLO line for the charts: those that were learned too. */
export function sloLine({ model }: Context): string {
  const slo = model.glance?.slo ?? '';
  if (slo !== '') return slo;
  return (model.health.now?.objectives ?? []).map((one) => one.text).join(', ');
}

export function sloDialog(context: Context): void {
  const { model, trans, dialogs } = context;
  const id = freshId('slo');
  const before = model.glance?.slo ?? '';
  const table = h('div');
  const wrong = h('p', {
    class: 'adm-bad adm-wrong',
    hidden: true,
    attrs: { role: 'alert', id: `${id}-wrong` },
  });
  const input = h('input', {
    class: 'adm-input adm-wide',
    attrs: {
      type: 'text',
      id,
      placeholder: 'p99<50ms, errors<0.1%, f1>0.9',
      spellcheck: 'false',
      autocomplete: 'off',
      'aria-describedby': `${id}-help ${id}-wrong`,
    },
    on: {
      input: () => look(),
      keydown: (event) => {
        if ((event as KeyboardEvent).key === 'Enter') save.click();
      },
    },
  });
  input.value = before;
  let busy = false;
  const save = button(trans('Save'), () => void send(), { class: 'adm-primary' });
  const look = (): void => {
    disable(
      save,
      busy ? trans('Under way') : input.value.trim() === before ? trans('Nothing is changed yet') : '',
    );
  };
  const put = (text: string): void => {
    input.value = text;
    look();
    input.focus();
  };
  const send = async (): Promise<void> => {
    busy = true;
    look();
    try {
      await model.change<Status>('/slo', { slo: input.value.trim() });
      setHidden(wrong, true);
      input.removeAttribute('aria-invalid');
      opened.close();
      model.notify({ what: sentText(input.value.trim(), context) });
      model.health.readSoon(0);
    } catch (thrown) {
      input.setAttribute('aria-invalid', 'true');
      setText(wrong, errorText(thrown));
      setHidden(wrong, false);
      input.focus();
    } finally {
      busy = false;
      look();
    }
  };
  const body = h(
    'div',
    {},
    table,
    h('label', { class: 'adm-label', attrs: { for: id }, text: trans('SLO line') }),
    input,
    wrong,
    h('p', {
      class: 'adm-mut adm-help',
      attrs: { id: `${id}-help` },
      text: trans(
        'Parts are separated by commas: p50 p90 p95 p99 p999, errors, refused, memory, cpu, disk_free, drift, accuracy, precision, recall, f1, mae, rmse, r2. An empty line learns objectives from the first minutes.',
      ),
    }),
    h(
      'p',
      { class: 'adm-row adm-shorts' },
      link(trans('Learn them'), () => put('')),
      link(trans('No objectives'), () => put('off')),
    ),
    recoverySwitch(context),
  );
  const draw = (): void => {
    table.replaceChildren(objectivesTable(context));
  };
  draw();
  look();
  const opened = dialogs.open(trans('Objectives of %1', model.name), body, [
    button(trans('Cancel'), () => opened.close()),
    save,
  ]);
  const following = model.subscribe(() => {
    if (body.isConnected) draw();
    else following.dispose();
  });
  input.focus({ preventScroll: true });
}

function sentText(slo: string, { trans }: Context): string {
  if (slo === '') return trans('Objectives are learned from the traffic');
  return slo === 'off' ? trans('There are no objectives now') : trans('The SLO is %1 now', slo);
}

function objectivesTable(context: Context): HTMLElement {
  const { model, trans } = context;
  const objectives = model.health.now?.objectives ?? [];
  if (objectives.length === 0)
    return h('p', {
      class: 'adm-mut',
      text:
        model.glance?.slo === 'off'
          ? trans('It has no objectives: nothing burns, and nothing breaks.')
          : trans('No objective is known yet: they are learned from the first minutes of traffic.'),
    });
  const tones = { unknown: 'mut', met: 'ok', burning: 'warn', broken: 'bad' } as const;
  const signs = { unknown: '–', met: '✓', burning: '!', broken: '✗' };
  const rows = objectives.map((one) =>
    h(
      'tr',
      {},
      h(
        'th',
        { attrs: { scope: 'row' } },
        one.text,
        one.learned ? h('span', { class: 'adm-mut', text: ` ${trans('learned')}` }) : null,
      ),
      h('td', {
        class: `adm-${tones[one.state]}`,
        text: `${signs[one.state]} ${stateText(one.state, context)}`,
      }),
      h('td', { class: 'adm-num', text: metricText(one.metric, one.value) }),
      h('td', { class: 'adm-num', text: one.budget_left === null ? UNKNOWN : percentText(one.budget_left) }),
      h('td', { class: 'adm-num', text: burnText(one) }),
    ),
  );
  const head = [
    trans('objective'),
    trans('state'),
    trans('5 min'),
    trans('budget left'),
    trans('burn fast / slow'),
  ];
  return h(
    'div',
    { class: 'adm-scroll', attrs: { tabindex: 0, role: 'region', 'aria-label': trans('Objectives') } },
    h('table', { class: 'adm-table adm-brief adm-states' }, tableHead(head), h('tbody', {}, ...rows)),
  );
}

function burnText({ burn_fast, burn_slow }: ObjectiveState): string {
  if (burn_fast === null && burn_slow === null) return UNKNOWN;
  return [burn_fast, burn_slow].map((rate) => (rate === null ? UNKNOWN : `${rateText(rate)} ×`)).join(' / ');
}

/** What is done about faults; chosen with one press. */
function recoverySwitch(context: Context): HTMLElement {
  const { model, trans } = context;
  const said = h('span', { class: 'adm-mut', attrs: { 'aria-live': 'polite' } });
  const current = (): Recovery => model.glance?.recovery ?? 'act';
  const choices: [Recovery, string, string][] = [
    ['off', trans('Off'), trans('faults are told, and nothing is done')],
    ['suggest', trans('Suggest'), trans('what would help is shown, for you to press')],
    [
      'act',
      trans('Act'),
      trans('what is safe is done by itself, a few times an hour at most, and told here'),
    ],
  ];
  const send = async (mode: Recovery): Promise<void> => {
    try {
      await model.change<Status>('/recovery', { mode });
      setText(said, trans('Saved'));
      model.health.readSoon(0);
    } catch (thrown) {
      const { what, fix } = DeployError.of(thrown);
      setText(said, [what, fix].filter((part) => part !== '').join(': '));
      for (const radio of node.querySelectorAll('input')) radio.checked = radio.value === current();
    }
  };
  const legend = h('legend', { class: 'adm-subtitle' }, trans('When something breaks'), ' ', said);
  const node = radiosOf(legend, choices, current(), (mode) => void send(mode));
  return node;
}
