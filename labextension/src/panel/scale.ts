// Scale: how many workers, in a small popover at its button.

import type { Status } from '../api/types';
import { freshId, h, keepWithin, setHidden, setText } from './dom';
import { button, disable, type Context } from './part';

const MOST = 64;

export class ScalePopover {
  readonly node: HTMLElement;
  readonly button: HTMLButtonElement;
  private readonly box: HTMLElement;
  private readonly count = h('input', {
    class: 'adm-input adm-count',
    attrs: { type: 'number', min: 1, max: MOST, step: 1, inputmode: 'numeric' },
  });
  private readonly note = h('p', { class: 'adm-mut' });
  private readonly apply: HTMLButtonElement;

  constructor(private readonly context: Context) {
    const { trans } = context;
    const id = freshId('scale');
    this.count.setAttribute('aria-label', trans('Workers'));
    this.count.addEventListener('input', () => this.tell());
    this.button = button(trans('Scale'), () => (this.box.hidden ? this.open() : this.close(true)));
    this.button.setAttribute('aria-haspopup', 'dialog');
    this.button.setAttribute('aria-expanded', 'false');
    this.apply = button(trans('Apply'), () => this.scale(), { class: 'adm-primary' });
    this.box = h(
      'div',
      {
        class: 'adm-popover',
        hidden: true,
        attrs: { role: 'dialog', 'aria-labelledby': id },
        on: {
          keydown: (event) => {
            const { key } = event as KeyboardEvent;
            if (key === 'Enter' && event.target === this.count) this.scale();
            if (key !== 'Escape') return;
            event.stopPropagation();
            this.close(true);
          },
          focusout: (event) => {
            const to = (event as FocusEvent).relatedTarget;
            if (to instanceof Node && !this.node.contains(to)) this.close(false);
          },
        },
      },
      h('p', { text: trans('Worker processes'), attrs: { id } }),
      h(
        'div',
        { class: 'adm-row' },
        this.stepper('−', trans('One less'), -1),
        this.count,
        this.stepper('+', trans('One more'), 1),
        this.apply,
      ),
      this.note,
    );
    this.node = h('span', { class: 'adm-popover-host' }, this.button, this.box);
    document.addEventListener('mousedown', this.outside);
  }

  update(): void {
    const { model, trans } = this.context;
    const workers = model.glance?.status.desired_workers;
    setText(this.button, workers === undefined ? trans('Scale') : trans('Scale · %1', workers));
    if (!this.box.hidden && !model.able) this.close(false);
  }

  dispose(): void {
    document.removeEventListener('mousedown', this.outside);
  }

  private open(): void {
    this.count.value = String(this.context.model.glance?.status.desired_workers ?? 1);
    setHidden(this.box, false);
    this.button.setAttribute('aria-expanded', 'true');
    this.tell();
    this.count.focus();
    this.count.select();
  }

  private close(back: boolean): void {
    if (this.box.hidden) return;
    setHidden(this.box, true);
    this.button.setAttribute('aria-expanded', 'false');
    if (back) this.button.focus();
  }

  private stepper(text: string, label: string, by: number): HTMLButtonElement {
    const node = button(text, () => {
      this.count.value = String(Math.min(MOST, Math.max(1, (Number(this.count.value) || 1) + by)));
      this.tell();
    });
    node.classList.add('adm-icon');
    node.setAttribute('aria-label', label);
    return node;
  }

  private tell(): void {
    const { model, trans } = this.context;
    const cores = model.view?.cores ?? 0;
    const workers = Number(this.count.value);
    const whole = Number.isInteger(workers) && workers >= 1 && workers <= MOST;
    const same = workers === model.glance?.status.desired_workers;
    disable(this.apply, !whole ? trans('From 1 to %1', MOST) : same ? trans('That many serve already') : '');
    const machine = cores > 0 ? trans('This machine has %1 cores.', cores) : '';
    const many = cores > 0 && workers > cores ? ` ${trans('More workers than cores share them.')}` : '';
    setText(this.note, machine + many);
    keepWithin(this.box);
  }

  private scale(): void {
    const { model, trans } = this.context;
    const workers = Number(this.count.value);
    if (this.apply.getAttribute('aria-disabled') === 'true') return;
    this.close(true);
    void model.act<Status>('scale', trans('Scale to %1', workers), { workers }, (status) =>
      trans('Scaled to %1', status.desired_workers),
    );
  }

  private readonly outside = (event: MouseEvent): void => {
    if (!event.composedPath().includes(this.node)) this.close(false);
  };
}
