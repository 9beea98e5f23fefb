// The buttons: each is there for what the state allows, and says why where it is not.

import type { Image, State, Status } from '../api/types';
import { WINDOWS } from '../chart/window';
import { codeContent } from './code';
import { containerizeDialog, imageText, type Wanted } from './containerize';
import { h, setHidden } from './dom';
import { windowText } from './format';
import { logContent } from './log';
import type { Kind } from './model';
import { button, disable, type Context, type Part } from './part';
import { ScalePopover } from './scale';
import { probeContent } from './probe';
import { retuneDialog } from './retune';
import { rollbackDialog } from './rollback';
import { Drafts, shipDialog } from './ship';

const SERVES: readonly State[] = ['running', 'degraded'];
const NOT_STOPPED: readonly State[] = ['starting', 'running', 'degraded', 'failed'];

interface Item {
  node: HTMLButtonElement;
  kinds: readonly Kind[];
  /** Why it cannot be pressed in that state; "" where it can. */
  refuse: (state: State) => string;
}

export class Toolbar implements Part {
  readonly node: HTMLElement;
  private readonly items: Item[];
  private readonly stop: HTMLButtonElement;
  private readonly start: HTMLButtonElement;
  private readonly scale: ScalePopover;
  private readonly code: HTMLButtonElement;

  constructor(
    private readonly context: Context,
    seconds: number,
    onSeconds: (seconds: number) => void,
  ) {
    const { trans, drawer } = context;
    const serving = (state: State): string => (SERVES.includes(state) ? '' : trans('It does not serve now'));
    const test: HTMLButtonElement = button(trans('Test'), () =>
      drawer.toggle('test', trans('Test'), test, () => probeContent(context)),
    );
    const log: HTMLButtonElement = button(trans('Logs'), () =>
      drawer.toggle('log', trans('Logs'), log, () => logContent(context)),
    );
    const code: HTMLButtonElement = button(trans('Code'), () =>
      drawer.toggle('code', trans('Call it from code'), code, () => codeContent(context)),
    );
    for (const opener of [test, log, code]) opener.setAttribute('aria-expanded', 'false');
    this.code = code;
    this.stop = button(trans('Stop'), () => this.stopIt());
    this.start = button(trans('Start'), () => this.run('start', trans('Start'), trans('Started')));
    const restart = button(trans('Restart'), () => this.run('restart', trans('Restart'), trans('Restarted')));
    restart.dataset.title = trans('Swaps in new workers of the same version; no request is lost');
    this.scale = new ScalePopover(context);
    const tune = button(trans('Re-tune'), () => retuneDialog(context), { class: 'adm-primary' });
    const back = button(trans('Roll back'), () => rollbackDialog(context));
    const image = button(trans('Containerize'), () =>
      containerizeDialog(context, (wanted) => this.containerize(wanted)),
    );
    const drafts = new Drafts();
    const ship = button(trans('Ship…'), () => shipDialog(context, drafts));
    const running = (state: State): string =>
      NOT_STOPPED.includes(state) ? '' : trans('It is stopped: start it first');
    const always = (): string => '';
    this.items = [
      { node: test, kinds: [], refuse: serving },
      { node: this.stop, kinds: ['stop'], refuse: running },
      { node: this.start, kinds: ['start'], refuse: always },
      { node: restart, kinds: ['restart'], refuse: running },
      { node: this.scale.button, kinds: ['scale'], refuse: running },
      { node: tune, kinds: ['tune', 'retune'], refuse: running },
      { node: back, kinds: ['rollback', 'promote'], refuse: () => this.onlyOne() },
      { node: image, kinds: ['containerize'], refuse: always },
      { node: ship, kinds: ['ship'], refuse: always },
      { node: log, kinds: [], refuse: always },
    ];
    const select = h(
      'select',
      {
        class: 'adm-button adm-select',
        attrs: { 'aria-label': trans('Time that the charts show') },
        on: { change: () => onSeconds(Number(select.value)) },
      },
      ...windowsWith(seconds).map((choice) =>
        h('option', {
          text: windowText(choice),
          attrs: { value: choice, ...(choice === seconds ? { selected: '' } : {}) },
        }),
      ),
    );
    this.node = h(
      'div',
      { class: 'adm-row adm-toolbar', attrs: { role: 'group', 'aria-label': trans('Actions') } },
      test,
      this.start,
      this.stop,
      restart,
      this.scale.node,
      tune,
      back,
      image,
      ship,
      h('span', { class: 'adm-grow' }),
      h('span', { class: 'adm-row adm-tools' }, log, code, select),
    );
  }

  update(): void {
    const { model, trans } = this.context;
    const state = model.glance?.status.state ?? 'stopped';
    const held = this.held();
    const swap = state === 'stopped' && model.glance !== null;
    // The one that goes hands the keyboard to the one that comes.
    const focused = document.activeElement;
    setHidden(this.start, !swap);
    setHidden(this.stop, swap);
    if (focused === this.stop && swap) this.start.focus();
    if (focused === this.start && !swap) this.stop.focus();
    for (const { node, kinds, refuse } of this.items) {
      const pending = model.pending !== null && kinds.includes(model.pending.kind);
      node.classList.toggle('adm-pending', pending);
      node.setAttribute('aria-busy', String(pending));
      disable(node, kinds.length === 0 ? this.away() || refuse(state) : held || refuse(state));
    }
    this.scale.update();
    disable(this.code, model.view === null ? trans('Nothing is known of it yet') : '');
  }

  dispose(): void {
    this.scale.dispose();
  }

  /** Why nothing can be changed now; "" where it can. */
  private held(): string {
    const { model, trans } = this.context;
    return this.away() || (model.pending === null ? '' : trans('Wait for: %1', model.pending.title));
  }

  private away(): string {
    const { model, trans } = this.context;
    const reasons = {
      live: '',
      connecting: trans('Not connected yet'),
      lost: trans('The connection is lost'),
      away: trans('No supervisor runs'),
      gone: trans('There is no such deployment any more'),
      saved: trans('This is a saved state'),
    };
    return reasons[model.link];
  }

  private onlyOne(): string {
    const { model, trans } = this.context;
    return (model.view?.versions.length ?? 0) > 1 ? '' : trans('There is only one version');
  }

  private run(kind: Kind, title: string, done: string): void {
    void this.context.model.act<Status>(kind, title, {}, () => done);
  }

  private stopIt(): void {
    const { trans, dialogs, confirmStop, model } = this.context;
    const stop = (): void => this.run('stop', trans('Stop'), trans('Stopped'));
    if (!confirmStop) {
      stop();
      return;
    }
    const text = trans(
      'Its port is closed and requests are refused until it is started again. Nothing is deleted.',
    );
    const opened = dialogs.open(trans('Stop %1?', model.name), h('p', { text }), [
      button(trans('Cancel'), () => opened.close()),
      button(
        trans('Stop'),
        () => {
          opened.close();
          stop();
        },
        { class: 'adm-danger' },
      ),
    ]);
  }

  private containerize(wanted: Wanted): void {
    const { model, trans } = this.context;
    void model.act<Image>('containerize', trans('Containerize'), { ...wanted }, (image) =>
      imageText(this.context, image),
    );
  }
}

function windowsWith(seconds: number): number[] {
  return [...new Set([...WINDOWS.map((choice) => choice.seconds), seconds])].sort((a, b) => a - b);
}
