// What happened, as marks on the time axis: a line, a sign that does not need its colour, and a short label.

import type { Trans } from '../api/transport';
import type { Kind, LiveEvent, Severity } from '../api/types';

export interface Mark {
  at: number;
  severity: Severity;
  label: string;
  text: string;
  id: number;
}

const LABELS: Record<Kind, string> = {
  deployed: 'v%1 deployed',
  swapped: 'v%1 swapped in',
  rolled_back: 'rolled back to v%1',
  promoted: 'v%1 promoted',
  canary: 'canary v%1',
  shadow: 'shadow v%1',
  traffic: 'traffic',
  scaled: 'scaled',
  tuned: 'tuned',
  retuned: 're-tuned: v%1',
  shipped: 'shipped',
  restarted: 'restarted',
  slo: 'SLO',
  recovery: 'recovery',
  alert: 'alert',
  started: 'started',
  stopped: 'stopped',
  worker_died: 'worker died',
  failed: 'failed',
  incident: 'incident',
};

/** Marks of the events within a time, oldest first. */
export function marksOf(events: readonly LiveEvent[], from: number, to: number, trans: Trans): Mark[] {
  return events
    .filter((event) => event.at_s >= from && event.at_s <= to)
    .map((event) => ({
      at: event.at_s,
      severity: event.severity,
      label: eventLabel(event, trans),
      text: event.text,
      id: event.id,
    }));
}

/** An event in two or three words. */
export function eventLabel(event: LiveEvent, trans: Trans): string {
  if (event.kind === 'retuned' && event.version === 0) return trans('re-tune'); // nothing else was made to serve
  const label = (LABELS as Partial<Record<string, string>>)[event.kind];
  if (label === undefined) return event.kind.replaceAll('_', ' ');
  return trans(label, event.version || '?');
}

/** Labels of marks are drawn from the left on; one that would run into its neighbour is left out. */
export function placeLabels(
  marks: readonly { x: number; width: number }[],
  right: number,
  gap = 6,
): ('right' | 'left' | 'none')[] {
  const free: [number, number][] = [];
  const clear = (from: number, to: number): boolean =>
    free.every(([a, b]) => to + gap <= a || from - gap >= b);
  const places = new Array<'right' | 'left' | 'none'>(marks.length).fill('none');
  // The newest is the one that is looked for: it is placed first.
  for (let i = marks.length - 1; i >= 0; i -= 1) {
    const mark = marks[i];
    if (mark === undefined) continue;
    const { x, width } = mark;
    const others = marks.filter((_, j) => j !== i);
    const crossed = (from: number, to: number): boolean =>
      others.some((other) => other.x > from && other.x < to);
    if (x + width <= right && clear(x, x + width) && !crossed(x + 1, x + width)) {
      places[i] = 'right';
      free.push([x, x + width]);
    } else if (x - width >= 0 && clear(x - width, x) && !crossed(x - width, x - 1)) {
      places[i] = 'left';
      free.push([x - width, x]);
    }
  }
  return places;
}
