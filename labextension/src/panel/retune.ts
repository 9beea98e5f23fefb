// Re-tune: what to look for and for how long; beside it, what can be set by hand.

import type { Goal, Order, Promote, Retune } from '../api/retunes';
import { DeployError } from '../api/transport';
import { budgetText, goalText } from './contender';
import { freshId, h, setHidden, setText } from './dom';
import { countText } from './format';
import { labelDialog } from './label';
import { button, type Context, disable, errorText, link } from './part';
import { radiosOf } from './radios';
import { tabsOf } from './tabs';
import { handForm } from './tune';

const BUDGETS_S = [60, 300, 900, 3600];
const BUDGET_S = 300;
const LONGEST_MIN = 24 * 60;
const LOSS = 0.5;

/** What a person orders; the rest are the supervisor's defaults. */
type Asked = Pick<Order, 'goal' | 'budget_s' | 'max_loss' | 'promote' | 'trigger'>;

export function retuneDialog(context: Context): void {
  const { model, trans, dialogs } = context;
  if (model.glance === null) return;
  const search = new OrderForm(context, () => opened.close());
  const hand = handForm(context, () => opened.close());
  const panel = h('div', {}, search.node, hand.node);
  const tabs = tabsOf([trans('Search'), trans('Set by hand')], trans('How'), panel, (at) => {
    for (const [i, nodes] of [
      [search.node, search.start],
      [hand.node, hand.apply],
    ].entries())
      for (const node of nodes) setHidden(node, i !== at);
  });
  tabs.choose(0);
  tabs.node.classList.add('adm-dialog-tabs');
  const opened = dialogs.open(trans('Re-tune %1', model.name), h('div', {}, tabs.node, panel), [
    button(trans('Cancel'), () => opened.close()),
    hand.apply,
    search.start,
  ]);
  const following = model.subscribe(() => {
    if (search.node.isConnected) search.look();
    else following.dispose();
  });
  search.node.querySelector<HTMLInputElement>('input:checked')?.focus({ preventScroll: true });
}

class OrderForm {
  readonly node: HTMLElement;
  readonly start: HTMLButtonElement;
  private goal: Goal = 'auto';
  private promote: Promote = 'ask';
  private readonly budget: HTMLSelectElement;
  private readonly minutes: HTMLInputElement;
  private readonly own: HTMLElement;
  private readonly loss: HTMLInputElement;
  private readonly data = h('ul', { class: 'adm-data' });
  private readonly earlier: HTMLButtonElement;
  private readonly told = h('p', { class: 'adm-mut', attrs: { 'aria-live': 'polite' } });
  private readonly wrong = h('p', { class: 'adm-bad adm-wrong', hidden: true, attrs: { role: 'alert' } });
  private busy = false;
  private drawn = '';

  constructor(
    private readonly context: Context,
    private readonly close: () => void,
  ) {
    const { trans } = context;
    this.start = button(trans('Start'), () => void this.send(), { class: 'adm-primary' });
    const look = { on: { input: () => this.look(), change: () => this.look() } };
    this.budget = h(
      'select',
      { class: 'adm-button adm-select', attrs: { id: freshId('budget') }, ...look },
      ...BUDGETS_S.map((seconds) => h('option', { text: budgetText(seconds), attrs: { value: seconds } })),
      h('option', { text: trans('other…'), attrs: { value: '' } }),
    );
    this.budget.value = String(BUDGET_S);
    this.minutes = numberInput(trans('Minutes'), 0.5, LONGEST_MIN, look);
    this.minutes.value = '30';
    this.own = h('label', { class: 'adm-row adm-check' }, this.minutes, trans('minutes'));
    this.loss = numberInput(trans('Most loss, in percent'), 0, 50, look);
    this.loss.value = String(LOSS);
    this.earlier = link('', () => {
      this.close();
      context.showRetune('');
    });
    this.node = h(
      'div',
      { class: 'adm-order' },
      h('p', {
        class: 'adm-mut',
        text: trans(
          'Looks for what makes this model better for its own traffic on this machine, and proves it on rows that no candidate has seen. The kernel is not needed for it.',
        ),
      }),
      this.goals(),
      h(
        'div',
        { class: 'adm-fields' },
        field(
          this.budget,
          trans('Time'),
          trans('at most; it runs beside what serves, at a low priority'),
          this.own,
        ),
        field(
          this.loss,
          trans('Most loss'),
          trans('how much worse it may be for less CPU: points of accuracy, percent of an error'),
          '%',
        ),
      ),
      this.promotes(),
      h('h3', { class: 'adm-subtitle', text: trans('What it can be judged by') }),
      this.data,
      h('p', { class: 'adm-row adm-shorts' }, this.earlier),
      this.told,
      this.wrong,
    );
    this.look();
  }

  /** Say what is known now, and whether it can begin. */
  look(): void {
    const { model, trans } = this.context;
    setHidden(this.own, this.budget.value !== '');
    const wrong =
      (this.budget.value === '' && !isGood(this.minutes)) || !isGood(this.loss)
        ? trans('One of the values cannot be used')
        : '';
    const runs = model.retunes.running !== null ? trans('A re-tune runs already') : '';
    const away = model.link === 'live' ? '' : trans('Nothing can be changed now');
    disable(this.start, (this.busy ? trans('Under way') : '') || runs || away || wrong);
    const count = model.retunes.all.length;
    setText(this.earlier, trans('Earlier re-tunes (%1)', count));
    setHidden(this.earlier, count === 0);
    const lines = this.known();
    const key = JSON.stringify(lines);
    if (key === this.drawn) return;
    this.drawn = key;
    this.data.replaceChildren(...lines.map((text) => h('li', { text })));
    if ((model.health.now?.quality?.labels ?? 0) === 0 && model.health.now !== null)
      this.data.firstElementChild?.append(
        ' ',
        link(trans('Label…'), () => labelDialog(this.context)),
      );
  }

  private get order(): Asked {
    const seconds = this.budget.value === '' ? 60 * Number(this.minutes.value) : Number(this.budget.value);
    return {
      goal: this.goal,
      budget_s: seconds,
      max_loss: Number((Number(this.loss.value) / 100).toPrecision(10)),
      promote: this.promote,
      trigger: 'button',
    };
  }

  private goals(): HTMLElement {
    const { trans } = this.context;
    const abouts: [Goal, string][] = [
      ['auto', trans('less CPU and as right, or more right')],
      ['latency', trans('less CPU and shorter answers, with at most the loss below')],
      ['size', trans('a smaller model, in memory and on disk, with at most the loss below')],
      ['quality', trans('trained further on labelled traffic, other settings, calibration')],
    ];
    return radiosOf(
      h('legend', { class: 'adm-strong', text: trans('What to look for') }),
      abouts.map(([goal, about]) => [goal, goalText(goal, trans), about] as const),
      this.goal,
      (goal) => {
        this.goal = goal;
      },
    );
  }

  private promotes(): HTMLElement {
    const { trans } = this.context;
    return radiosOf<Promote>(
      h('legend', { class: 'adm-strong', text: trans('Where one is found') }),
      [
        ['ask', trans('Ask me'), trans('it is shown here, for you to take')],
        [
          'auto',
          trans('Take it'),
          trans('it serves at once, is watched for a while, and goes back by itself where it does worse'),
        ],
      ],
      this.promote,
      (promote) => {
        this.promote = promote;
      },
    );
  }

  /** What there is to judge by, and what is missing. */
  private known(): string[] {
    const { model, trans } = this.context;
    const { now } = model.health;
    if (now === null) return [trans('It is not known yet what was recorded.')];
    const labels = now.quality?.labels ?? 0;
    const rows = now.quality?.answered ?? 0;
    const version = model.glance?.status.version ?? 0;
    const lines = [
      labels === 0
        ? trans(
            'No labels: candidates are judged by whether they answer as v%1 does, and nothing can be trained further.',
            version,
          )
        : trans('%1 labelled rows: some train, and the others judge.', countText(labels)),
      rows === 0
        ? trans('No recorded requests: the sample is used instead, and a steady mix of single rows.')
        : trans(
            '%1 recorded rows: they are asked again. Where that is too little traffic, the sample is used instead.',
            countText(rows),
          ),
    ];
    const [before] = model.retunes.all;
    const missed = before?.data.notes ?? [];
    if (missed.length > 0) lines.push(trans('The last re-tune said: %1', missed.join('; ')));
    return lines;
  }

  private async send(): Promise<void> {
    this.busy = true;
    setHidden(this.wrong, true);
    this.look();
    try {
      await begin(this.order, this.context, (step) => setText(this.told, step));
      this.close();
    } catch (thrown) {
      setText(this.wrong, errorText(thrown));
      setHidden(this.wrong, false);
    } finally {
      this.busy = false;
      setText(this.told, '');
      this.look();
    }
  }
}

/** Resolves once it is under way; its end is told by the live stream. Rejects where it was refused. */
function begin(order: Asked, { model }: Context, said: (step: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let begun = false;
    const start = (): void => {
      begun = true;
      following.dispose();
      resolve();
    };
    const following = model.subscribe(() => {
      if (model.retunes.running !== null) start();
    });
    model
      .call<Retune>('POST', '/retune', order, ({ step }) => {
        if (step.startsWith('waiting')) said(step);
        else start();
      })
      .then(
        (retune) => {
          start();
          model.retunes.put(retune);
        },
        (thrown: unknown) => {
          following.dispose();
          reject(DeployError.of(thrown));
          // It goes on without this call, and how it ends is told by the stream.
          const told = model.retunes.running !== null || model.retunes.fresh.size > 0;
          if (begun && !told) model.fail(thrown);
        },
      );
  });
}

function field(
  input: HTMLInputElement | HTMLSelectElement,
  name: string,
  help: string,
  beside: HTMLElement | string,
): HTMLElement {
  const id = freshId('help');
  input.setAttribute('aria-describedby', id);
  return h(
    'div',
    { class: 'adm-field' },
    h('label', { text: name, attrs: { for: input.id } }),
    h('span', { class: 'adm-row' }, input, beside),
    h('span', { class: 'adm-mut adm-help', text: help, attrs: { id } }),
  );
}

function numberInput(
  label: string,
  min: number,
  max: number,
  more: { on: Record<string, () => void> },
): HTMLInputElement {
  return h('input', {
    class: 'adm-input adm-count adm-own',
    attrs: {
      type: 'number',
      id: freshId('number'),
      min,
      max,
      step: 'any',
      inputmode: 'decimal',
      'aria-label': label,
    },
    ...more,
  });
}

function isGood(input: HTMLInputElement): boolean {
  return input.checkValidity() && input.value.trim() !== '';
}
