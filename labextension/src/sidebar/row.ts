// One deployment in the sidebar: state, version, latency, its last minutes as a line, and what it is doing.

import type { Ring } from '../api/ring';
import type { Trans } from '../api/transport';
import type { Activity, Glance } from '../api/types';
import { Spark } from '../chart/spark';
import { clockText, UNKNOWN } from '../panel/format';
import { freshId, h, setText } from '../panel/dom';
import { isRetuneJob } from '../panel/retuning';
import { concern, figures, jobText, sinceText, stateText, trafficText } from './figures';

const SPARK_S = 120;

export interface RowActions {
  open(name: string): void;
  start(name: string): void;
  menu(name: string, anchor: HTMLElement): void;
}

export class Row {
  readonly node: HTMLLIElement;
  readonly main: HTMLButtonElement;
  private readonly dot = h('span', { class: 'adm-Row-dot', attrs: { 'aria-hidden': 'true' } });
  private readonly version = h('span', { class: 'adm-Row-tag' });
  private readonly beside = h('span', { class: 'adm-Row-beside' });
  private readonly right = h('span', { class: 'adm-Row-right' });
  private readonly line = h('span', { class: 'adm-Row-line' });
  private readonly concern = h('span', { class: 'adm-Row-concern' });
  private readonly job = h('span', { class: 'adm-Row-job' });
  private readonly start: HTMLButtonElement;
  private readonly more: HTMLButtonElement;
  private readonly spark = new Spark();

  constructor(
    readonly name: string,
    private readonly trans: Trans,
    actions: RowActions,
  ) {
    const about = freshId('row');
    this.right.id = `${about}-right`;
    const graph = h('span', { class: 'adm-Row-spark', attrs: { 'aria-hidden': 'true' } });
    graph.append(this.spark.node);
    const details = h(
      'span',
      { class: 'adm-Row-details', attrs: { id: about } },
      this.line,
      this.concern,
      this.job,
    );
    const head = h(
      'span',
      { class: 'adm-Row-head' },
      this.dot,
      h('span', { class: 'adm-Row-name' }, name),
      this.version,
      this.beside,
      this.right,
    );
    this.main = h(
      'button',
      { class: 'adm-Row-main', attrs: { type: 'button', 'aria-describedby': `${about}-right ${about}` } },
      head,
      graph,
      details,
    );
    this.more = h(
      'button',
      {
        class: 'adm-Row-more',
        title: trans('What to do with %1', name),
        attrs: { type: 'button', 'aria-haspopup': 'menu', 'aria-label': trans('What to do with %1', name) },
      },
      '⋯',
    );
    this.start = h('button', { class: 'adm-Row-start', attrs: { type: 'button' } }, trans('Start'));
    this.start.setAttribute('aria-label', trans('Start %1', name));
    this.node = h('li', { class: 'adm-Row', attrs: { 'data-name': name } }, this.main, this.start, this.more);
    this.main.addEventListener('click', () => actions.open(name));
    this.start.addEventListener('click', () => actions.start(name));
    this.more.addEventListener('click', () => actions.menu(name, this.more));
    this.node.addEventListener('contextmenu', (event) => {
      event.preventDefault();
      event.stopPropagation();
      actions.menu(name, this.more);
    });
  }

  update(glance: Glance, ring: Ring, jobs: readonly Activity[], nowS: number): void {
    const { trans } = this;
    const { state, version } = glance.status;
    const word = stateText(glance, trans);
    const live = state === 'running' || state === 'degraded';
    const now = figures(ring, nowS);
    this.node.dataset['state'] = state;
    this.dot.title = word;
    setText(this.version, version > 0 ? `v${version}` : '');
    this.version.title = [glance.model_type, glance.status.format].filter((part) => part !== '').join(', ');
    setText(this.beside, trafficText(glance, trans));
    setText(this.right, live && now.latency !== UNKNOWN ? now.latency : state === 'running' ? UNKNOWN : word);
    this.right.title = live ? trans('p99 of the last requests') : '';
    setText(this.line, live ? now.line || noFigures(ring, trans) : sinceText(glance, nowS, trans));
    const worry = concern(glance, trans);
    setText(this.concern, worry?.text ?? '');
    this.concern.dataset['severity'] = worry?.severity ?? '';
    this.showJob(jobs, glance.retune);
    this.start.hidden = state !== 'stopped';
    this.more.hidden = false;

    const recent = live ? ring.recent('p99_s', SPARK_S) : [];
    this.spark.update(recent);
    this.node.classList.toggle(
      'adm-mod-flat',
      recent.every((value) => value === null),
    );
    this.main.setAttribute('aria-label', trans('%1, version %2, %3', this.name, version, word));
  }

  /** A build of a deployment that is not there yet. */
  updateJob(jobs: readonly Activity[]): void {
    this.node.dataset['state'] = 'starting';
    this.node.classList.add('adm-mod-flat');
    this.start.hidden = true;
    this.more.hidden = true;
    setText(this.right, jobs.at(-1)?.state === 'failed' ? this.trans('failed') : this.trans('building'));
    this.showJob(jobs);
    this.main.setAttribute('aria-label', this.trans('%1, being built', this.name));
  }

  /** The job that is under way; where there is none, what a re-tune is at. */
  private showJob(jobs: readonly Activity[], retune = ''): void {
    const last = jobs.filter((job) => !isRetuneJob(job.title)).at(-1);
    const told = last !== undefined && ['running', 'failed'].includes(last.state) ? last : null;
    setText(this.job, told === null ? retune : jobText(told));
    this.job.dataset['state'] = told?.state ?? (retune === '' ? '' : 'running');
  }
}

function noFigures(ring: Ring, trans: Trans): string {
  return ring.last > 0 ? trans('no figures since %1', clockText(ring.last)) : trans('no figures yet');
}
