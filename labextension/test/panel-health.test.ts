import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { DeployError } from '../src/api/transport';
import type { Alert, Health, Incident } from '../src/api/types';
import { incidentParts } from '../src/panel/incidents';
import { metricText } from '../src/panel/measure';
import { plain } from '../src/api/transport';
import {
  begin,
  button,
  copied,
  drawing,
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
afterEach(() => {
  panel.dispose();
  vi.restoreAllMocks();
});

function alertOf(given: Partial<Alert>): Alert {
  const [first] = golden().health.alerts;
  if (first === undefined) throw new Error('the golden file has no alert');
  return { ...first, ...given };
}

function incidentOf(given: Partial<Incident>): Incident {
  const [first] = golden().health.incidents;
  if (first === undefined) throw new Error('the golden file has no incident');
  return { ...first, ...given };
}

const incident = (id: string): Incident => incidentOf(health.incidents.find((one) => one.id === id) ?? {});
const lines = (): string[] =>
  [...panel.node.querySelectorAll('.adm-events > li')].map(
    (node) => node.querySelector('.adm-what')?.textContent ?? '',
  );

describe('the health', () => {
  it('is read when the panel opens, when its glance or an event says so, and not otherwise', async () => {
    withHealth();
    await live();
    expect(transport.count('/health')).toBe(1);
    transport.say({ glances: [structuredClone(view.glance)] });
    transport.say({ beat: true });
    await settle(400);
    expect(transport.count('/health')).toBe(1);
    view.glance.slo_state = 'burning';
    transport.say({ glances: [structuredClone(view.glance)] });
    transport.say({
      event: { id: 50, name: 'iris', at_s: 1, kind: 'incident', severity: 'warning', version: 4, text: '' },
    });
    await settle(2200);
    expect(transport.count('/health')).toBe(2); // together, and not sooner than is worth it
  });

  it('says what of the watch failed, and why it cannot be read', async () => {
    health.faults = { 'detector drift': 'KeyError: petal' };
    withHealth();
    await live();
    expect(text('.adm-alerts')).toContain('detector drift failed: KeyError: petal');
    panel.dispose();
    begin();
    await live();
    transport.last('/health').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-alerts')).toContain(golden().error.what);
  });
});

describe('the SLO', () => {
  it('has a badge with its objectives, and a line in the chart where it was learned too', async () => {
    view.glance.slo = '';
    withHealth();
    await live();
    const badge = button('✓ SLO met (learned)');
    expect(badge.getAttribute('aria-haspopup')).toBe('dialog');
    expect(text(`#${badge.getAttribute('aria-describedby') ?? ''}`).split('\n')[0]).toBe(
      'p99<50ms: 3.4 ms, met, burns 0.1 ×, 92 % of the budget left',
    );
    expect(drawing.frames.get('latency')?.limit).toMatchObject({ quantile: 'p99', seconds: 0.05 });
  });

  it('can be set where there is none yet, and where it stopped', async () => {
    view.glance.slo = '';
    view.glance.slo_state = 'unset';
    await live();
    expect(button('SLO: learning').className).toContain('adm-mut');
    view.glance.slo = 'off';
    transport.say({ glances: [structuredClone(view.glance)] });
    await settle();
    button('no SLO').click();
    expect(text('.adm-dialog')).toContain('It has no objectives');
  });

  it('is read and changed in a dialog, which shows what is wrong beside the field', async () => {
    withHealth();
    await live();
    button('✓ SLO met').click();
    const rows = [...panel.node.querySelectorAll('.adm-dialog tbody tr')].map((row) => row.textContent);
    expect(rows).toEqual([
      'p99<50ms✓ met3.4 ms92 %0.1 × / 0.3 ×',
      'errors<0.1%! burning0.04 %40 %3.5 × / 1.2 ×',
      'memory<500MB learned– not measured–––',
    ]);
    const input = field('.adm-dialog input[type=text]');
    expect(document.activeElement).toBe(input);
    expect(input.value).toBe('p99<50ms, errors<0.1%');
    expect(off('Save')).toBe(true);
    input.value = 'p99<<5';
    input.dispatchEvent(new Event('input'));
    key(input, 'Enter');
    expect(transport.last('/slo').body).toEqual({ slo: 'p99<<5' });
    transport.last('/slo').reject(
      new DeployError({
        error: 'InvalidOption',
        what: 'p99<<5 cannot be read',
        why: '',
        fix: 'write p99<5ms',
      }),
    );
    transport.say({
      activity: {
        id: 's1',
        name: 'iris',
        title: 'slo iris',
        state: 'failed',
        started_s: 1,
        steps: [],
        error: 'p99<<5 cannot be read',
        where: 'supervisor',
      },
    });
    await settle();
    expect(text('.adm-notices')).toBe(''); // it is said once
    expect(text('.adm-wrong')).toBe('p99<<5 cannot be read\n→ write p99<5ms');
    expect(input.getAttribute('aria-invalid')).toBe('true');
    input.value = 'p99<5ms';
    input.dispatchEvent(new Event('input'));
    button('Save').click();
    transport.last('/slo').resolve(view.glance.status);
    await settle();
    expect(panel.node.querySelector('.adm-dialog')).toBeNull();
    expect(text('.adm-notices')).toContain('The SLO is p99<5ms now');
  });

  it('has the switch for what is done about faults; it goes back where that failed', async () => {
    await live();
    button('Recovery: acts').click();
    const radio = (mode: string): HTMLInputElement => field(`.adm-switch input[value=${mode}]`);
    expect(radio('act').checked).toBe(true);
    radio('suggest').click();
    expect(transport.last('/recovery').body).toEqual({ mode: 'suggest' });
    transport.last('/recovery').reject(new DeployError(golden().error));
    await settle();
    expect(radio('act').checked).toBe(true);
    expect(text('.adm-switch legend')).toContain(golden().error.what);
  });
});

describe('alerts', () => {
  it('show the worst first, by sign and word, and are silenced', async () => {
    const now = Date.now() / 1000;
    health.alerts = [
      alertOf({ id: 'w', since_s: now - 30 }),
      alertOf({
        id: 'c',
        rule: 'slo:p99',
        severity: 'critical',
        text: 'p99 88 ms > 50 ms',
        since_s: now - 5,
        drill: true,
      }),
    ];
    withHealth();
    await live();
    const shown = [...panel.node.querySelectorAll('.adm-alert')];
    expect(shown.map((one) => one.querySelector('.adm-sign')?.textContent)).toEqual(['■', '▲']);
    expect(shown[0]?.textContent).toContain('critical p99 88 ms > 50 ms drill for 5 s');
    expect(shown[1]?.querySelector('.adm-age')?.textContent).toBe('for 30 s, 2 times');
    find('[aria-label="Silence slo:p99 for 8 h"]').click();
    expect(transport.last('/silence').body).toEqual({ rule: 'slo:p99', seconds: 28800 });
    const after: Health = structuredClone(health);
    for (const alert of after.alerts) if (alert.id === 'c') alert.silenced_until_s = now + 28800;
    transport.last('/silence').resolve(after);
    await settle();
    expect(panel.node.querySelectorAll('.adm-alert')).toHaveLength(1);
    button('1 silenced').click();
    await settle();
    expect(text('.adm-silenced')).toContain('silenced until');
    button('End the silence').click();
    expect(transport.last('/silence').body).toEqual({ rule: 'slo:p99', seconds: 0 });
  });

  it('keep the keyboard while they are brought up to date', async () => {
    withHealth();
    await live();
    const silence = find('.adm-silence button');
    silence.focus();
    transport.say({ glances: [structuredClone(view.glance)] });
    await settle(1100);
    expect(document.activeElement).toBe(silence);
    expect(silence.isConnected).toBe(true);
  });

  it('say why they could not be silenced', async () => {
    withHealth();
    await live();
    find('.adm-silence button').click();
    transport.last('/silence').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-notices')).toContain(golden().error.what);
  });
});

describe('incidents', () => {
  const parts = (given: Partial<Incident>): string =>
    incidentParts(incidentOf(given), { trans: plain }).join(' → ');

  it('are told as metric → action → result', () => {
    expect(parts({})).toBe('p99 88 ms > 50 ms for 30 s → scaled 1 → 2 workers → p99 3.4 ms after 6 s');
    expect(parts({ outcome: 'open', closed_s: 0, after: {} })).toContain('→ looking whether it helps');
    expect(parts({ outcome: 'no_help', why: 'p99 is 90 ms', after: { p99: 0.09 } })).toContain(
      '→ did not help p99 90.0 ms: p99 is 90 ms',
    );
    expect(parts({ outcome: 'held', did: '', why: '6 actions this hour' })).toBe(
      'p99 88 ms > 50 ms for 30 s → nothing was done: 6 actions this hour',
    );
    expect(parts({ outcome: 'resolved', did: '', after: {}, acted_s: 0 })).toContain('→ over after 6 s');
  });

  it('stand among what happened, in the place of their events', async () => {
    const [event] = view.events;
    if (event === undefined) throw new Error('the golden file has no events');
    view.events.push({ ...event, id: 80, kind: 'incident', at_s: 1763740734, text: 'told twice' });
    view.events.push({ ...event, id: 81, kind: 'alert', at_s: 1763740734, text: 'told twice' });
    withHealth();
    await live();
    expect(lines()).toEqual([
      'p99 88 ms > 50 ms for 30 s → scaled 1 → 2 workers → p99 3.4 ms after 6 s · undo · figures',
      'errors 2.1 % > 0.1 % for 15 s → roll back to v3 → suggested: rolling back is for you to decide: v4 has served for 2 h · act · copy as a cell · figures',
      'resolved requests fell from 212 /s to 0 /s after 40 s',
      'v4 swapped in v3 → v4',
    ]);
  });

  it('are acted on and taken back, with the same care as other changes', async () => {
    withHealth();
    await live();
    button('act').click();
    button('undo').click();
    const call = transport.last('/incidents/');
    expect([call.method, call.path]).toEqual(['POST', '/deployments/iris/incidents/i6/act']);
    expect(transport.count('/undo')).toBe(0);
    await settle();
    expect(off('undo')).toBe(true);
    call.resolve({ ...incident('i6'), outcome: 'helped', did: 'rolled back to v3' });
    await settle();
    expect(text('.adm-notices')).toContain('Done: rolled back to v3');
    button('undo').click();
    expect(transport.last('/undo').path).toBe('/deployments/iris/incidents/i7/undo');
  });

  it('unfold their figures, before and after', async () => {
    withHealth();
    await live();
    const more = button('figures');
    more.focus();
    more.click();
    await settle();
    const rows = [...panel.node.querySelectorAll('.adm-before tbody tr')].map((row) => row.textContent);
    expect(rows).toEqual(['p9988.0 ms3.4 ms', 'errors0.00 %0.00 %', 'memory31 MB64 MB']);
    expect(document.activeElement?.textContent).toBe('figures');
    expect(document.activeElement?.getAttribute('aria-expanded')).toBe('true');
  });

  it('give the request that shows them: into a cell, or onto the clipboard', async () => {
    withHealth();
    await live();
    button('copy as a cell').click();
    expect(transport.last('/repro').path).toBe('/deployments/iris/repro?incident=i6');
    transport.last('/repro').resolve({ code: 'dep.predict(…)', request: 'req-81' });
    await settle();
    expect(copied).toEqual(['dep.predict(…)']);
    panel.dispose();
    begin();
    withHealth();
    const cells: string[] = [];
    const toCell = (code: string): Promise<string> => Promise.resolve(`it is in cell ${cells.push(code)}`);
    await live({ toCell });
    button('to a cell').click();
    transport.last('/repro').resolve({ code: 'dep.predict(…)', request: 'req-81' });
    await settle();
    expect(cells).toEqual(['dep.predict(…)']);
    expect(text('.adm-notices')).toContain('it is in cell 1');
  });
});

describe('a drill', () => {
  it('says what happens for real, shows its steps, and keeps what came of it', async () => {
    await live();
    button('Drill…').click();
    expect(text('.adm-dialog')).toContain('requests of your clients may be lost');
    field('.adm-drills input[value=slow]').click();
    const seconds = field('.adm-dialog .adm-count');
    seconds.value = '0';
    seconds.dispatchEvent(new Event('input'));
    expect(off('Cause it')).toBe(true);
    seconds.value = '20';
    seconds.dispatchEvent(new Event('input'));
    button('Cause it').click();
    const call = transport.last('/drill');
    expect(call.body).toEqual({ kind: 'slow', seconds: 20 });
    call.onProgress?.({ step: 'detect', state: 'done', seconds: 4.2, detail: '' });
    await settle();
    expect(text('.adm-jobs')).toContain('Drill: slow✓ detect 4.20 s');
    call.resolve({ kind: 'slow', detected_s: 4.2, recovered_s: null, requests: 1240, lost: 3, text: '' });
    await settle();
    expect(text('.adm-notice')).toContain('slow: noticed after 4.20 s, not healed; 3 of 1240 requests lost');
  });
});

it('values are read in the unit of their metric', () => {
  const told = [
    ['p999', 0.0034],
    ['errors', 0.001],
    ['memory', 5e8],
    ['cpu', 0.8],
    ['f1', 0.93],
    ['mae', 1234.56],
    ['drift', null],
  ] as const;
  expect(told.map(([metric, value]) => metricText(metric, value))).toEqual([
    '3.4 ms',
    '0.10 %',
    '500 MB',
    '80 %',
    '0.930',
    '1235',
    '–',
  ]);
});
