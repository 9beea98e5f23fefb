import axe from 'axe-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Contender, Retune } from '../src/api/retunes';
import { DeployError, NameFilter, plain } from '../src/api/transport';
import { eventLabel } from '../src/chart/marks';
import { measureOf, praise, ratioText } from '../src/panel/contender';
import { sceneOf } from '../src/panel/scene';
import { Ended } from '../src/sidebar/news';
import { begin, button, choice, field, find, health, key, live, off, panel } from './bench';
import { text, transport, view, withHealth } from './bench';
import { golden, settle } from './stand';

let ended: Retune;
let running: Retune;

beforeEach(() => {
  begin();
  const told = golden().messages.find((message) => message.retune !== undefined)?.retune;
  const [last] = view.retunes ?? [];
  if (told === undefined || last === undefined) throw new Error('the golden file has no re-tune');
  [running, ended] = [told, last];
  running.started_s = Date.now() / 1000 - 12;
});
afterEach(() => {
  panel.dispose();
  vi.restoreAllMocks();
});

const section = (): HTMLElement => find('.adm-retune');
const rows = (): HTMLElement[] => [...panel.node.querySelectorAll<HTMLElement>('[data-contender]')];
const spots = (): SVGElement[] => [...panel.node.querySelectorAll<SVGElement>('.adm-spot')];
const one = (id: string, of: Retune = ended): Contender => {
  const found = of.contenders.find((contender) => contender.id === id);
  if (found === undefined) throw new Error(`the golden file has no ${id}`);
  return found;
};

/** The golden one has run, and ends now, before the panel's eyes. */
async function end(given: Partial<Retune> = {}): Promise<void> {
  view.retunes = [];
  await live();
  const now = Date.now() / 1000;
  transport.say({ retune: { ...structuredClone(ended), state: 'running', ended_s: 0, started_s: now - 60 } });
  await settle();
  transport.say({ retune: { ...structuredClone(ended), started_s: now - 60, ended_s: now, ...given } });
  await settle();
}

describe('the order', () => {
  it('says what there is to judge by, and is sent as it was chosen', async () => {
    withHealth();
    await live();
    button('Re-tune').click();
    expect(document.activeElement).toBe(field('.adm-order input[value=auto]'));
    expect(text('.adm-data')).toContain('412 labelled rows');
    expect(text('.adm-data')).toContain('8,120 recorded rows');
    expect(text('.adm-data')).toContain('The last re-tune said: no training set was given');
    field('.adm-order input[value=latency]').click();
    field('.adm-order input[value=ask] ~ b').click();
    choice('.adm-order select').value = '900';
    const loss = field('[aria-label="Most loss, in percent"]');
    loss.value = '80';
    loss.dispatchEvent(new Event('input'));
    expect(off('Start')).toBe(true);
    loss.value = '0.7';
    loss.dispatchEvent(new Event('input'));
    button('Start').click();
    button('Start').click();
    expect(transport.count('/retune')).toBe(1);
    expect(transport.last('/retune').body).toEqual({
      goal: 'latency',
      budget_s: 900,
      max_loss: 0.007,
      promote: 'ask',
      trigger: 'button',
    });
    transport.last('/retune').onProgress?.({ step: 'plan', state: 'started', seconds: 0, detail: '' });
    await settle();
    expect(panel.node.querySelector('.adm-dialog')).toBeNull();
    expect(off('Stop')).toBe(false); // what serves can be changed while it runs
  });

  it('takes a time of its own, and what is missing is said', async () => {
    health.quality = null;
    withHealth();
    await live();
    button('Re-tune').click();
    expect(text('.adm-data')).toContain('judged by whether they answer as v4 does');
    expect(text('.adm-data')).toContain('the sample is used instead');
    const budget = choice('.adm-order select');
    budget.value = '';
    budget.dispatchEvent(new Event('change'));
    const minutes = field('[aria-label=Minutes]');
    expect(minutes.closest('[hidden]')).toBeNull();
    minutes.value = '';
    minutes.dispatchEvent(new Event('input'));
    expect(off('Start')).toBe(true);
    minutes.value = '2.5';
    minutes.dispatchEvent(new Event('input'));
    field('.adm-order input[value=auto][name]').click();
    button('Start').click();
    expect(transport.last('/retune').body).toMatchObject({ budget_s: 150 });
    button('Label…').click();
    expect(transport.count('/unlabelled')).toBe(1);
  });

  it('says why it was refused, and can be sent again', async () => {
    await live();
    button('Re-tune').click();
    button('Start').click();
    transport.last('/retune').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-wrong')).toContain(golden().error.what);
    expect(text('.adm-wrong')).toContain(`→ ${golden().error.fix}`);
    expect(off('Start')).toBe(false);
    expect(text('.adm-notices')).toBe('');
  });

  it('is not sent while another runs', async () => {
    await live();
    transport.say({ retune: running });
    await settle();
    button('Re-tune').click();
    expect(off('Start')).toBe(true);
    expect(button('Start').title).toBe('A re-tune runs already');
  });

  it('is opened by a command too, as soon as the panel is live', async () => {
    await live();
    panel.retune();
    expect(text('.adm-dialog')).toContain('Re-tune iris');
  });
});

describe('while it runs', () => {
  it('says what it does, how far it is, and what is best so far', async () => {
    await live();
    expect(section().hidden).toBe(true); // the last one ended long ago
    transport.say({ retune: running });
    await settle();
    expect(section().hidden).toBe(false);
    expect(text('.adm-retune-step')).toBe(
      'measuring int8, dynamic · 1 of 3 candidates · 12 s of at most 1 min · by the schedule',
    );
    expect(text('.adm-retune-told')).toContain('Nothing is better so far than what serves');
    expect(find('.adm-retune [role=progressbar]').getAttribute('aria-valuenow')).toBe('1');
    const better = structuredClone(running);
    better.contenders = better.contenders.map((contender) =>
      contender.id === 'c2' ? structuredClone(one('c2')) : contender,
    );
    transport.say({ retune: { ...better, best: 'c2', step: 'replaying the trace' } });
    await settle();
    expect(text('.adm-retune-told')).toContain('Best so far: int8, dynamic: CPU 2.1× less, accuracy 0.940');
    expect(find('.adm-retune [role=progressbar]').getAttribute('aria-valuenow')).toBe('2');
  });

  it('is found again by its view after the connection was lost', async () => {
    view.retunes = [running, ended];
    await live();
    expect(text('.adm-retune-step')).toContain('1 of 3 candidates');
    button('3 candidates').click();
    expect(rows().map((row) => row.dataset['contender'])).toEqual(['c0', 'c1', 'c2', 'c3']);
    expect(panel.node.querySelector('.adm-candidates button.adm-small')).toBeNull(); // nothing to take yet
  });

  it('is cancelled once, with nothing changed', async () => {
    await live();
    transport.say({ retune: running });
    await settle();
    button('Cancel').click();
    button('Cancel').click();
    expect(transport.count('/cancel')).toBe(1);
    expect(transport.last('/cancel').path).toBe('/deployments/iris/retunes/r8/cancel');
    transport.last('/cancel').resolve({ ...running, state: 'cancelled', ended_s: Date.now() / 1000 });
    await settle();
    expect(text('.adm-outcome')).toBe('Cancelled; nothing was changed');
    expect(find('.adm-outcome').getAttribute('aria-live')).toBe('polite');
    transport.say({ retune: running }); // what was told before it ended
    await settle();
    expect(text('.adm-outcome')).toBe('Cancelled; nothing was changed');
  });

  it('says why it could not be cancelled', async () => {
    await live();
    transport.say({ retune: running });
    await settle();
    button('Cancel').click();
    transport.last('/cancel').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-notices')).toContain(golden().error.what);
    expect(off('Cancel')).toBe(false);
  });

  it('is of its own deployment, and its job is told once', async () => {
    await live();
    transport.say({ retune: { ...running, name: 'churn' } });
    const job = {
      title: 'retune iris',
      state: 'running',
      error: '',
      where: 'supervisor',
    } as const;
    transport.say({ activity: { ...job, steps: [], id: 'x', name: 'iris', started_s: 1 } });
    await settle();
    expect(section().hidden).toBe(true);
    expect(find('.adm-jobs').hidden).toBe(true);
    expect(new NameFilter(['iris']).pass({ retune: { ...running, name: 'churn' } })).toBeNull();
  });
});

describe('at its end', () => {
  it('says what was found, with every candidate and why it passed or fell', async () => {
    await end();
    expect(text('.adm-outcome')).toBe(ended.outcome);
    button('5 candidates').click();
    expect(rows().map((row) => row.dataset['contender'])).toEqual(['c0', 'c2', 'c3', 'c1', 'c4', 'c5']);
    const told = rows().map((row) => row.textContent);
    expect(told[0]).toContain('v4, as it serves now0.942 ± 0.0230.42 ms3.1 ms183 kB● serves');
    expect(told[1]).toContain(
      '0.940 ± 0.0230.20 ms 2.1× less2.4 ms 1.3× less47 kB 3.9× less✓ passed the choice',
    );
    expect(told[2]).toContain('100 % like now0.41 ms the same');
    expect(told[3]).toContain('✗ fell accuracy 0.917, 2.5 pp below v4');
    expect(told[4]).toContain('–––'); // not measured is not 0
    expect(told[4]).toContain('! failed ran out of memory');
    expect(told[5]).toContain('– left out the budget was used up');
    expect(text('.adm-retune-details')).toContain('2 more in the table alone');
    expect(text('.adm-retune-details')).toContain('412 held-out rows · 288 rows for training');
  });

  it('unfolds the checks, and keeps the keyboard', async () => {
    await end();
    button('5 candidates').click();
    const more = find('[aria-label="Checks of first 100 of 300 trees"]');
    more.focus();
    more.click();
    expect(find('[aria-label="Checks of first 100 of 300 trees"]').getAttribute('aria-expanded')).toBe(
      'true',
    );
    expect(document.activeElement).toBe(find('[aria-label="Checks of first 100 of 300 trees"]'));
    expect(text('.adm-checks')).toContain('✗ accuracy 0.917 against 0.942: −2.5 pp');
    expect(text('.adm-checks')).toContain('✓ 95.1 % of 980 rows');
    expect(text('.adm-checks')).toContain('made with: trees 100');
  });

  it('reads the checks where they were left out', async () => {
    const short = structuredClone(ended);
    short.contenders = short.contenders.map((contender) => ({ ...contender, checks: [] }));
    view.retunes = [short];
    await live();
    button('Re-tune').click();
    button('Earlier re-tunes (1)').click();
    await settle();
    expect(transport.last('/retunes/').path).toBe('/deployments/iris/retunes/r7');
    transport.last('/retunes/').resolve(ended);
    await settle();
    find('[aria-label="Checks of int8, dynamic"]').click();
    expect(text('.adm-checks')).toContain('p95 2.4 ms against 3.1 ms');
    transport.say({ glances: [structuredClone(view.glance)] }); // the view is read again, without them
    await settle(400);
    expect(text('.adm-checks')).toContain('p95 2.4 ms against 3.1 ms');
  });

  it('takes the choice, or another that passed, once that was said', async () => {
    await end();
    button('Take it…').click();
    expect(text('.adm-dialog')).toContain('It becomes a new version of iris and serves in the place of v4.');
    expect(text('.adm-dialog')).toContain('no request is lost');
    expect(document.activeElement).toBe(button('Take it'));
    button('Cancel').click();
    expect(transport.count('/take')).toBe(0);
    button('5 candidates').click();
    find('[aria-label="Take 2 workers × 1 thread, no batching…"]').click();
    expect(text('.adm-dialog')).toContain('v4 goes on and is run otherwise: 2 workers, batch_rows 0.');
    button('Take it').click();
    const call = transport.last('/take');
    expect([call.path, call.body]).toEqual(['/deployments/iris/retunes/r7/take', { contender: 'c3' }]);
    await settle();
    expect(off('Take it…')).toBe(true);
    const now = Date.now() / 1000;
    call.resolve({ ...structuredClone(ended), promoted: 'c3', promoted_s: now, bakes_until_s: now + 600.5 });
    await settle();
    expect(text('.adm-notices')).toContain('It is run otherwise now: 2 workers × 1 thread');
    expect(text('.adm-outcome')).toContain('watched more closely for 10 min');
    expect(rows()[2]?.textContent).toContain('taken');
  });

  it('says why it could not be taken', async () => {
    await end();
    button('Take it…').click();
    button('Take it').click();
    transport.last('/take').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-notices')).toContain(golden().error.what);
    expect(off('Take it…')).toBe(false);
  });

  it('rolls back by one click and a word', async () => {
    const now = Date.now() / 1000;
    await end({ promoted: 'c2', promoted_s: now, bakes_until_s: now + 600 });
    expect(() => button('Take it…')).toThrow();
    button('Roll back…').click();
    expect(text('.adm-dialog')).toContain('v4 serves again in the place of int8, dynamic');
    [...panel.node.querySelectorAll<HTMLElement>('.adm-dialog-foot button')].at(-1)?.click();
    expect(transport.last('/undo').path).toBe('/deployments/iris/retunes/r7/undo');
    transport
      .last('/undo')
      .resolve({ ...structuredClone(ended), promoted: 'c2', promoted_s: now, undone: true });
    await settle();
    expect(text('.adm-outcome')).toContain('It was rolled back');
    expect(() => button('Roll back…')).toThrow();
  });

  it('stays to be seen after it was rolled back, where nothing else would show it', async () => {
    const now = Date.now() / 1000;
    view.retunes = [{ ...ended, promoted: 'c2', promoted_s: now, bakes_until_s: now + 600 }];
    await live();
    button('Roll back…').click();
    [...panel.node.querySelectorAll<HTMLElement>('.adm-dialog-foot button')].at(-1)?.click();
    view.retunes = [{ ...ended, promoted: 'c2', promoted_s: now, undone: true }];
    transport.last('/undo').resolve(structuredClone(view.retunes[0]));
    await settle();
    expect(text('.adm-outcome')).toContain('It was rolled back');
  });

  it('says that it failed, and why', async () => {
    await end({ state: 'failed', error: 'the disk is full', outcome: '' });
    expect(text('.adm-outcome.adm-bad')).toBe('It failed: the disk is full');
  });

  it('says where nothing is better', async () => {
    await end({ chosen: 'c0', outcome: 'v4 stays: nothing that passed is better' });
    expect(text('.adm-outcome')).toBe('v4 stays: nothing that passed is better');
    expect(() => button('Take it…')).toThrow();
    find('[aria-label="Close the re-tune"]').click();
    await settle();
    expect(section().hidden).toBe(true);
    expect(document.activeElement).toBe(button('Re-tune'));
  });

  it('has a history to choose from, and a way from its event', async () => {
    const [first] = view.events;
    if (first === undefined) throw new Error('the golden file has no event');
    view.events.push({
      ...first,
      id: 90,
      kind: 'retuned',
      at_s: ended.ended_s + 1,
      version: 0,
      text: 'nothing',
    });
    view.retunes = [
      { ...structuredClone(ended), id: 'r6', started_s: ended.started_s - 9e4, chosen: 'c0' },
      ended,
    ];
    await live();
    button('candidates').click();
    await settle();
    const select = choice('.adm-retune select');
    expect([...select.options].map((option) => option.textContent)).toEqual([
      expect.stringContaining('Whatever helps · found'),
      expect.stringContaining('Whatever helps · nothing better'),
    ]);
    expect(select.value).toBe('r7');
    select.value = 'r6';
    select.dispatchEvent(new Event('change'));
    expect(spots().some((spot) => spot.classList.contains('adm-chosen-spot'))).toBe(false);
    expect(eventLabel({ ...first, kind: 'retuned', version: 0 }, plain)).toBe('re-tune');
    expect(eventLabel({ ...first, kind: 'retuned', version: 5 }, plain)).toBe('re-tuned: v5');
  });
});

describe('the plot', () => {
  it('has a circle for each that was measured, reached with the keyboard', async () => {
    await end();
    button('5 candidates').click();
    expect(spots().map((spot) => spot.dataset['id'])).toEqual(['c3', 'c0', 'c1', 'c2']); // the choice is on top
    const tabbed = spots().filter((spot) => spot.getAttribute('tabindex') === '0');
    expect(tabbed.map((spot) => spot.dataset['id'])).toEqual(['c2']); // the choice
    const chosen = tabbed[0];
    if (chosen === undefined) throw new Error('no circle can be reached');
    expect(chosen.getAttribute('aria-label')).toBe(
      'int8, dynamic, accuracy 0.940 (0.913 – 0.960), CPU 0.20 ms, 2.1× less, size 47 kB, ✓ the choice',
    );
    chosen.focus();
    expect(text('.adm-pareto-frame .adm-tip:not([hidden])')).toContain('int8, dynamic\naccuracy 0.940');
    key(chosen, 'ArrowLeft');
    expect((document.activeElement as SVGElement).dataset['id']).toBe('c1');
    expect(text('.adm-tip:not([hidden])')).toContain('✗ fell');
    key(document.activeElement ?? chosen, 'Enter');
    expect(document.activeElement).toBe(find('[aria-label="Checks of first 100 of 300 trees"]'));
    const area = (id: string): number =>
      Number(panel.node.querySelector(`.adm-spot[data-id=${id}] circle`)?.getAttribute('r')) ** 2;
    expect(area('c0') / area('c2')).toBeCloseTo(183042 / 47200, 1);
  });

  it('is by agreement where there are no labels, then by cosine, and by nothing where nothing is known', () => {
    const bare = (given: Partial<Contender['figures']>): Retune => ({
      ...ended,
      contenders: ended.contenders.map((contender) => ({
        ...contender,
        figures: { ...contender.figures, metric: '', value: null, low: null, high: null, ...given },
      })),
    });
    expect(measureOf(bare({}))).toBe('agreement');
    expect(sceneOf(bare({}), plain)?.yName).toBe('answers like now');
    expect(sceneOf(bare({}), plain)?.yText(0.9985)).toBe('99.85 %');
    const cosine = sceneOf(bare({ agreement: null, cosine: 0.991 }), plain);
    expect(cosine?.spots[0]?.tip[1]).toBe('cosine to the answers of now 0.991');
    expect(sceneOf(bare({ agreement: null }), plain)).toBeNull();
  });

  it('has less of an error further up', async () => {
    const errors = structuredClone(ended);
    for (const contender of errors.contenders) contender.figures.metric = 'rmse';
    await end({ contenders: errors.contenders });
    button('5 candidates').click();
    const up = (id: string): number =>
      Number(panel.node.querySelector(`.adm-spot[data-id=${id}] circle`)?.getAttribute('cy'));
    expect(text('.adm-pareto')).toContain('RMSE, less is better');
    expect(up('c2')).toBeLessThan(up('c0')); // 0.940 is less than 0.942
  });

  it('shows 25 candidates, one of them far off, and nothing that axe finds fault with', async () => {
    HTMLCanvasElement.prototype.getContext = () => null; // jsdom has none, and says so each time
    const many = Array.from({ length: 25 }, (_, i): Contender => {
      const made = structuredClone(one(i % 3 === 0 ? 'c1' : 'c2'));
      made.id = `n${i}`;
      made.title = `candidate ${i}`;
      made.figures.cpu_s = 1e-5 * 1.4 ** i;
      made.figures.value = i === 0 ? 0.2 : 0.9 + i / 500;
      return made;
    });
    await end({ contenders: [one('c0'), ...many], chosen: 'n4' });
    button('25 candidates').click();
    expect(rows()).toHaveLength(26);
    expect(spots()).toHaveLength(26);
    expect(panel.node.querySelectorAll('.adm-spot path')).toHaveLength(1); // at the edge, and not to scale
    expect(rows()[1]?.dataset['contender']).toBe('n4');
    const rules = { 'color-contrast': { enabled: false }, region: { enabled: false } }; // jsdom draws nothing
    const found = await axe.run(section(), { rules });
    expect(found.violations.map((violation) => `${violation.id}: ${violation.help}`)).toEqual([]);
    button('Re-tune').click();
    const dialog = await axe.run(find('.adm-dialog'), { rules });
    expect(dialog.violations.map((violation) => `${violation.id}: ${violation.help}`)).toEqual([]);
  });
});

describe('words', () => {
  it('say how one stands to what serves', () => {
    expect(ratioText(1, 2, plain)).toBe('2.0× less');
    expect(ratioText(2, 1.9, plain)).toBe('1.05× more');
    expect(ratioText(1, 1.01, plain)).toBe('the same');
    expect(ratioText(1, 25, plain)).toBe('25× less');
    expect(ratioText(null, 1, plain)).toBe('');
    expect(praise(one('c3'), ended, plain)).toBe(
      '2 workers × 1 thread, no batching: CPU the same, p95 1.4× less, answers like now 100 %',
    );
    expect(praise(one('c5'), ended, plain)).toBe('int8, static');
  });

  it('tell of one that ended, where it was seen to run', () => {
    const news = new Ended();
    const glance = (retune: string): (typeof view.glance)[] => [{ ...view.glance, retune }];
    expect(news.take(glance(''))).toEqual([]);
    expect(news.take(glance('re-tuning: 7 of 19'))).toEqual([]);
    expect(news.take(glance(''))).toEqual(['iris']);
    expect(news.take(glance(''))).toEqual([]);
    news.take(glance('re-tuning: 7 of 19'));
    expect(news.take([])).toEqual([]); // it was removed
  });
});
