// Long jobs as they happen: the same steps that the notebook and the terminal show.

import type { Activity, Progress } from '../api/types';
import { h, setHidden } from './dom';
import { durationText } from './format';
import { button, disable, type Context, type Part } from './part';
import { isRetuneJob } from './retuning';

/** The steps of a deploy, in order, as notebook/progress.py has them; other jobs show theirs as they come. */
const STEPS = ['capture', 'export', 'verify', 'package', 'start', 'first prediction'];
/** A job that ended well stays to be seen for this long, in seconds. */
const LINGER_S = 5;

/** What is made elsewhere, and can be cancelled: as supervisor/api.py calls it. */
const SHIPS = /^(containerize|ship) /;

interface Shown {
  key: string;
  title: string;
  steps: Progress[];
  state: Activity['state'];
  build: boolean;
  log: readonly string[];
  /** Whether it can be cancelled. */
  ends: boolean;
}

/** The element of a job, and its button: that one stays where it is while all around it is drawn anew. */
interface Drawn {
  node: HTMLElement;
  cancel: HTMLButtonElement;
}

export class ProgressList implements Part {
  readonly node: HTMLElement;
  private drawn = '';
  /** The jobs that were under way while this panel was there, and when they ended. */
  private readonly seen = new Set<string>();
  private readonly ended = new Map<string, number>();
  /** The jobs whose log is being read. */
  private readonly unfolded = new Set<string>();
  private readonly nodes = new Map<string, Drawn>();
  /** The jobs that are being cancelled. */
  private readonly cancelling = new Set<string>();

  constructor(private readonly context: Context) {
    this.node = h('div', {
      class: 'adm-jobs',
      hidden: true,
      attrs: { role: 'status', 'aria-live': 'polite', 'aria-label': context.trans('Under way') },
    });
  }

  update(): void {
    const jobs = this.jobs();
    const key = JSON.stringify([jobs, [...this.cancelling]]);
    if (key === this.drawn) return;
    this.drawn = key;
    const known = [...this.nodes.keys()];
    for (const gone of known.filter((one) => jobs.every((job) => job.key !== one))) this.nodes.delete(gone);
    for (const job of jobs) this.draw(job);
    const keys = [...this.nodes.keys()];
    if (keys.join() !== known.join())
      this.node.replaceChildren(...[...this.nodes.values()].map(({ node }) => node));
    setHidden(this.node, jobs.length === 0);
  }

  /** What is under way, here or elsewhere; a change made here is told by the stream too, and is shown once. */
  private jobs(): Shown[] {
    const { model } = this.context;
    const now = model.store.now();
    const told = model.store.jobs(model.name).filter((activity) => {
      if (isRetuneJob(activity.title)) return false; // it has a part of its own
      if (activity.state === 'running') {
        this.seen.add(activity.id);
        return model.link === 'live';
      }
      if (!this.seen.has(activity.id)) return false; // it was over before this panel was made
      const ended = this.ended.get(activity.id) ?? now;
      this.ended.set(activity.id, ended);
      return activity.state === 'done' && activity.where === 'kernel' && now - ended < LINGER_S;
    });
    const jobs = told.map((activity) => ({
      key: activity.id,
      title: activity.title,
      steps: activity.steps,
      state: activity.state,
      build: activity.steps.some((step) => STEPS.slice(0, 4).includes(step.step)),
      log: activity.log ?? [],
      ends: activity.state === 'running' && activity.where === 'supervisor' && SHIPS.test(activity.title),
    }));
    const { pending } = model;
    const twice = told.some((activity) => activity.where === 'supervisor' && activity.state === 'running');
    if (pending !== null && !twice)
      jobs.push({
        key: 'here',
        title: pending.title,
        steps: [...pending.steps.values()],
        state: 'running',
        build: false,
        log: [],
        ends: false,
      });
    return jobs;
  }

  private draw(job: Shown): void {
    const { trans } = this.context;
    const drawn = this.nodes.get(job.key) ?? this.drawnOf(job);
    this.nodes.set(job.key, drawn);
    const { node, cancel } = drawn;
    for (const child of [...node.children]) if (child !== cancel || !job.ends) child.remove();
    node.prepend(...this.head(job));
    if (job.ends && cancel.parentElement === null) node.append(cancel);
    if (job.log.length > 0) node.append(this.log(job));
    disable(cancel, this.cancelling.has(job.key) ? trans('Being cancelled') : '');
  }

  private drawnOf(job: Shown): Drawn {
    const { trans } = this.context;
    const cancel = button(trans('Cancel'), () => void this.cancel(job), { class: 'adm-small adm-jobcancel' });
    cancel.setAttribute('aria-label', trans('Cancel: %1', job.title));
    return { node: h('div', { class: 'adm-job' }), cancel };
  }

  private async cancel(job: Shown): Promise<void> {
    const { model, trans } = this.context;
    const begunHere = model.pending !== null; // then whoever waits for it tells how it ended
    this.cancelling.add(job.key);
    this.update();
    try {
      await model.change('/shipping/cancel', {});
      if (!begunHere) model.notify({ what: trans('%1 was cancelled', job.title) });
    } catch (thrown) {
      model.fail(thrown);
    } finally {
      this.cancelling.delete(job.key);
      this.update();
    }
  }

  private head(job: Shown): HTMLElement[] {
    const known = latest(job.steps);
    const names = job.build ? [...new Set([...STEPS, ...known.keys()])] : [...known.keys()];
    const done = [...known.values()].filter((step) => step.state !== 'started').length;
    const seconds = [...known.values()].reduce((total, step) => total + step.seconds, 0);
    const share = job.state === 'done' ? 1 : names.length > 0 && job.build ? done / names.length : null;
    const bar = h('i');
    if (share !== null) bar.style.width = `${Math.round(100 * share)}%`;
    return [
      h(
        'div',
        { class: share === null ? 'adm-bar adm-unsure' : 'adm-bar', attrs: { 'aria-hidden': 'true' } },
        bar,
      ),
      h(
        'div',
        { class: 'adm-row' },
        h('b', { text: job.title }),
        job.state === 'done' ? h('span', { class: 'adm-mut', text: durationText(seconds) }) : null,
        h('ol', { class: 'adm-steps' }, ...names.map((name) => this.step(name, known.get(name), job.state))),
      ),
    ];
  }

  /** What the tools say, as it comes: unfolded by whoever wants to read it, and then at its end. */
  private log(job: Shown): HTMLElement {
    const { trans } = this.context;
    const text = h('pre', { class: 'adm-joblog', text: job.log.join('\n'), attrs: { tabindex: '0' } });
    const whole = h('details', {}, h('summary', { text: trans('Log') }), text);
    whole.open = this.unfolded.has(job.key);
    whole.addEventListener('toggle', () => {
      if (whole.open) this.unfolded.add(job.key);
      else this.unfolded.delete(job.key);
      text.scrollTop = text.scrollHeight;
    });
    requestAnimationFrame(() => {
      text.scrollTop = text.scrollHeight;
    });
    return whole;
  }

  private step(name: string, step: Progress | undefined, job: Activity['state']): HTMLElement {
    if (step === undefined) return h('li', { class: 'adm-mut', text: `○ ${name}` });
    if (step.state === 'started' && job === 'running')
      return h('li', {}, h('span', { class: 'adm-spin', attrs: { 'aria-hidden': 'true' } }), ` ${name}…`);
    // A step that was under way when the job ended did not finish: its own report never came.
    const state = step.state === 'started' ? 'failed' : step.state;
    const mark = { done: '✓', failed: '✗', skipped: '–' }[state];
    const tone = { done: 'adm-ok', failed: 'adm-bad', skipped: 'adm-mut' }[state];
    const time = state === 'skipped' || step.state === 'started' ? '' : ` ${durationText(step.seconds)}`;
    return h(
      'li',
      step.detail === '' ? {} : { title: step.detail },
      h('span', { class: tone, text: mark }),
      ` ${name}`,
      time === '' ? null : h('span', { class: 'adm-mut', text: time }),
    );
  }
}

function latest(steps: readonly Progress[]): Map<string, Progress> {
  return new Map(steps.map((step) => [step.step, step]));
}
