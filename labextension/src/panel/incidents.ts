// An incident as one line: what was wrong, what was done, what became of it; and what can be done about it now.

import type { Incident, Repro } from '../api/types';
import { h, tableHead } from './dom';
import { ageText } from './format';
import { metricName, metricText } from './measure';
import { link, type Context } from './part';

/** "p99 88 ms > 50 ms for 30 s → scaled 1 → 2 workers → p99 3.4 ms after 6 s", in its parts. */
export function incidentParts(incident: Incident, { trans }: Pick<Context, 'trans'>): string[] {
  const { text, did, why, outcome, acted_s, closed_s, opened_s } = incident;
  const after = closed_s > 0 ? trans('after %1', ageText(closed_s - (acted_s || opened_s))) : '';
  const figure = figureText(incident, trans);
  const because = (word: string): string => (why === '' ? word : `${word}: ${why}`);
  const ends: Record<Incident['outcome'], string> = {
    open: acted_s > 0 ? trans('looking whether it helps') : '',
    suggested: because(trans('suggested')),
    helped: joined(figure || trans('it helped'), after),
    resolved: joined(figure || trans('over'), after),
    no_help: because(joined(trans('did not help'), figure)),
    undone: because(trans('taken back')),
    failed: because(trans('that failed')),
    held: because(trans('nothing was done')),
  };
  const end = ends[outcome];
  return [text, did, end].filter((part) => part !== '');
}

function figureText({ metric, after }: Incident, trans: Context['trans']): string {
  const value = after[metric];
  return value === null || value === undefined
    ? ''
    : `${metricName(metric, trans)} ${metricText(metric, value)}`;
}

function joined(...parts: string[]): string {
  return parts.filter((part) => part !== '').join(' ');
}

/** The line, and those of its links that change something. `shown` says whether its figures are unfolded. */
export function incidentLine(
  incident: Incident,
  context: Context,
  shown: boolean,
  unfold: () => void,
): { node: HTMLElement; changing: HTMLButtonElement[] } {
  const { trans } = context;
  const links: HTMLButtonElement[] = [];
  const changing: HTMLButtonElement[] = [];
  if (incident.outcome === 'suggested')
    changing.push(link(trans('act'), () => move(incident, 'act', context)));
  if (incident.undo) changing.push(link(trans('undo'), () => move(incident, 'undo', context)));
  links.push(...changing);
  if (incident.request !== '') {
    const label = context.toCell === null ? trans('copy as a cell') : trans('to a cell');
    links.push(
      link(label, () => void repro(incident, context), trans('%1: the request that shows it', label)),
    );
  }
  const rows = figureRows(incident, context);
  if (rows.length > 0) {
    const more = link(trans('figures'), unfold);
    more.setAttribute('aria-expanded', String(shown));
    links.push(more);
  }
  const parts = incidentParts(incident, context);
  const node = h(
    'span',
    { class: 'adm-what adm-incident' },
    ...parts.flatMap((part, i) => [i === 0 ? null : h('span', { class: 'adm-mut', text: ' → ' }), part]),
    incident.drill ? h('span', { class: 'adm-tag', text: trans('drill') }) : null,
    ...links.flatMap((one) => [
      ' ',
      h('span', { class: 'adm-piece' }, h('span', { class: 'adm-mut', text: '· ' }), one),
    ]),
    shown && rows.length > 0 ? figureTable(rows, context) : null,
  );
  return { node, changing };
}

function figureRows({ before, after }: Incident, { trans }: Context): string[][] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].map((metric) => [
    metricName(metric, trans),
    metricText(metric, before[metric]),
    metricText(metric, after[metric]),
  ]);
}

function figureTable(rows: readonly string[][], { trans }: Context): HTMLElement {
  const head = [trans('figure'), trans('before'), trans('after')];
  return h(
    'table',
    { class: 'adm-table adm-brief adm-before' },
    tableHead(head),
    h(
      'tbody',
      {},
      ...rows.map(([name = '', ...figures]) =>
        h(
          'tr',
          {},
          h('th', { text: name, attrs: { scope: 'row' } }),
          ...figures.map((text) => h('td', { class: 'adm-num', text })),
        ),
      ),
    ),
  );
}

function move(incident: Incident, verb: 'act' | 'undo', { model, trans }: Context): void {
  const title =
    verb === 'act' ? trans('Act: %1', incident.did || incident.action) : trans('Undo: %1', incident.did);
  void model
    .act<Incident>(
      'incident',
      title,
      {},
      (now) => (verb === 'act' ? trans('Done: %1', now.did || now.action) : trans('Taken back: %1', now.did)),
      `/incidents/${encodeURIComponent(incident.id)}/${verb}`,
    )
    .then((now) => {
      if (now !== null) model.health.takeIncident(now);
      model.health.readSoon(0); // where it was refused, it is another than is shown
    });
}

async function repro(incident: Incident, { model, trans, toCell, copy }: Context): Promise<void> {
  try {
    const { code } = await model.call<Repro>('GET', `/repro?incident=${encodeURIComponent(incident.id)}`);
    if (toCell !== null) {
      model.notify({ what: await toCell(code) });
      return;
    }
    try {
      await copy(code);
      model.notify({ what: trans('Copied: paste it into a cell, and run it') });
    } catch {
      model.notify({ what: trans('This runs the request against the live object'), code });
    }
  } catch (thrown) {
    model.fail(thrown);
  }
}
