import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { DeployError } from '../src/api/transport';
import type { Unlabelled } from '../src/api/types';
import {
  begin,
  button,
  field,
  find,
  health,
  key,
  live,
  off,
  panel,
  text,
  transport,
  view,
  withHealth,
} from './bench';
import { golden, settle } from './stand';

beforeEach(begin);
afterEach(() => panel.dispose());

const tile = (): string => {
  const node = find('.adm-tile-button').closest('.adm-tile');
  return `${node?.children[1]?.textContent ?? ''} / ${node?.children[0]?.textContent ?? ''}`;
};

describe('the tile', () => {
  it('has the figure that the supervisor leads with', async () => {
    withHealth();
    await live();
    expect(tile()).toBe('0.931 / F1, 412 labels');
  });

  it('marks what is an estimate, and what is not known', async () => {
    if (health.quality !== null) Object.assign(health.quality, { labels: 0, figures: [] });
    view.glance.quality = '';
    withHealth();
    await live();
    expect(tile()).toBe('≈ 0.950 / accuracy expected, no labels yet');
    expect(find('.adm-tile.adm-estimate').textContent).toContain('≈');
    health.quality = null;
    view.glance.slo_state = 'broken';
    transport.say({ glances: [structuredClone(view.glance)] });
    await settle(2200);
    expect(tile()).toBe('– / quality, no labels');
  });
});

describe('the dialog', () => {
  it('has figures with intervals, versions, confusion and the worst slices', async () => {
    withHealth();
    await live();
    find('.adm-tile-button').click();
    const tables = [...panel.node.querySelectorAll('.adm-dialog table')].map((node) => [
      node.querySelector('caption')?.textContent,
      [...node.querySelectorAll('tbody tr')].map((row) => row.textContent),
    ]);
    expect(tables).toEqual([
      ['Figures', ['accuracy0.9420.915 – 0.961412', 'F10.9310.905 – 0.952412', 'accuracy≈ 0.950–estimate']],
      ['By version', ['v40.9500.940300', 'v30.9200.910112']],
      ['Confusion: true class by row, answer by column', ['024010', '114148']],
      ['Where it is worst', ['petal_width < 0.40.81038']],
    ]);
    const told = text('.adm-dialog');
    expect(told).toContain('412 of 8,120 recorded rows are labelled; the figures are over the newest 400');
    expect(told).toContain('is an estimate without labels');
  });

  it('says how labels come where there are none', async () => {
    health.quality = null;
    withHealth();
    await live();
    find('.adm-tile-button').click();
    expect(text('.adm-dialog')).toContain('POST /feedback');
  });
});

describe('labelling', () => {
  const rows = (count: number, more: Partial<Unlabelled> = {}): Unlabelled[] =>
    Array.from({ length: count }, (_, i) => {
      const [first] = golden().unlabelled;
      if (first === undefined) throw new Error('the golden file has no row');
      return { ...first, request: `r${i}`, ...more };
    });

  async function label(found: Unlabelled[], classes: string[]): Promise<void> {
    withHealth();
    await live();
    find('.adm-tile-button').click();
    button('Label…').click();
    expect(transport.last('/unlabelled').path).toBe('/deployments/iris/unlabelled?rows=20');
    transport.last('/unlabelled').resolve({ rows: found, classes });
    await settle();
  }

  async function taken(): Promise<void> {
    transport.last('/feedback').resolve({ new: 1, changed: 0, same: 0, unmatched: 0 });
    await settle();
  }

  it('shows a row with its answer, takes a click or a digit, and goes on', async () => {
    await label(rows(3), ['0', '1', '2']);
    const shown = text('.adm-labelling');
    for (const told of ['Row 1 of 3', 'petal_length4.9', 'It answered 1 (52 % sure, v4'])
      expect(shown).toContain(told);
    button('1').click();
    expect(transport.last('/feedback').body).toEqual({ labels: [{ request: 'r0', row: 0, label: 1 }] });
    button('2').click(); // while the first is under way: nothing
    expect(transport.count('/feedback')).toBe(1);
    await taken();
    expect(text('.adm-labelling')).toContain('Row 2 of 3, the least sure first. 1 labelled.');
    key(find('.adm-labelling'), '3');
    expect(transport.last('/feedback').body).toEqual({ labels: [{ request: 'r1', row: 0, label: 2 }] });
    await taken();
    button('Skip').click();
    expect(transport.last('/unlabelled').path).toContain('rows=21');
    transport.last('/unlabelled').resolve({ rows: rows(3), classes: ['0', '1', '2'] });
    await settle();
    expect(text('.adm-labelling')).toContain('Nothing is left to label. 2 labelled.');
  });

  it('loses nothing to an error', async () => {
    await label(rows(2), ['0', '1']);
    key(find('.adm-labelling'), '1');
    transport.last('/feedback').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-labelling')).toContain('Row 1 of 2');
    expect(text('.adm-wrong')).toContain(golden().error.what);
    key(find('.adm-labelling'), '1');
    await taken();
    expect(find('.adm-wrong').hidden).toBe(true);
    expect(text('.adm-labelling')).toContain('Row 2 of 2');
  });

  it('takes the last one back: to be labelled anew, or to what it was before', async () => {
    await label(rows(2), ['0', '1']);
    expect(off('Undo')).toBe(true);
    key(find('.adm-labelling'), '1');
    await taken();
    button('Undo').click();
    await settle();
    expect(transport.count('/feedback')).toBe(1); // there was no label before
    expect(text('.adm-labelling')).toContain('labelled 0');
    expect(text('.adm-chosen')).toBe('0');
    key(find('.adm-labelling'), '2');
    await taken();
    expect(transport.count('/feedback')).toBe(2);
    button('Undo').click();
    expect(transport.last('/feedback').body).toEqual({ labels: [{ request: 'r0', row: 0, label: 0 }] });
    await taken();
    expect(text('.adm-labelling')).toContain('Row 1 of 2');
  });

  it('takes a number where the answers are numbers', async () => {
    view.glance.task = 'regression';
    await label(rows(2, { prediction: 21.5, confidence: null }), []);
    const input = field('.adm-classes input');
    expect(document.activeElement).toBe(input);
    expect(off('Label')).toBe(true);
    input.value = '23.25';
    input.dispatchEvent(new Event('input'));
    key(input, '1'); // is typed, and no class
    expect(transport.count('/feedback')).toBe(0);
    key(input, 'Enter');
    expect(transport.last('/feedback').body).toEqual({ labels: [{ request: 'r0', row: 0, label: 23.25 }] });
    await taken();
    expect(input.value).toBe('');
    expect(document.activeElement).toBe(input);
  });

  it('takes a class that was not seen yet', async () => {
    await label(rows(3, { prediction: 'setosa' }), ['setosa']);
    button('Another…').click();
    const input = field('.adm-classes input');
    expect(document.activeElement).toBe(input);
    input.value = 'virginica';
    key(input, 'Enter');
    expect(transport.last('/feedback').body).toEqual({
      labels: [{ request: 'r0', row: 0, label: 'virginica' }],
    });
    await taken();
    expect(input.closest('[hidden]')).not.toBeNull();
    key(find('.adm-labelling'), '2');
    expect(transport.last('/feedback').body).toEqual({
      labels: [{ request: 'r1', row: 0, label: 'virginica' }],
    });
  });

  it('says what is wrong where rows cannot be read, and reads them again', async () => {
    withHealth();
    await live();
    find('.adm-tile-button').click();
    button('Label…').click();
    transport.last('/unlabelled').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-wrong')).toContain(golden().error.what);
    button('Try again').click();
    transport.last('/unlabelled').resolve({ rows: [], classes: ['0'] });
    await settle();
    expect(text('.adm-labelling')).toContain('No answer waits for a label');
    expect(off('Skip')).toBe(true);
  });
});
