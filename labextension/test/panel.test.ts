import { DeployError } from '../src/api/transport';
import type { Activity } from '../src/api/types';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  begin,
  button,
  copied,
  field,
  find,
  key,
  live,
  off,
  opened,
  panel,
  text,
  transport,
  view,
} from './bench';
import { golden, settle } from './stand';

beforeEach(begin);
afterEach(() => {
  panel.dispose();
  expect(document.querySelector('.adm-panel')).toBeNull();
});

const JOB: Activity = {
  id: 'ship',
  name: 'iris',
  title: 'containerize iris',
  state: 'running',
  started_s: 1,
  steps: [],
  error: '',
  where: 'supervisor',
};

describe('the head', () => {
  it('says what it is, how it is, and where', async () => {
    await live();
    expect(text('h1')).toBe('iris');
    expect(text('.adm-state')).toBe('running');
    const tags = [...panel.node.querySelectorAll('.adm-who .adm-tag')].filter(
      (tag) => !(tag as HTMLElement).hidden,
    );
    expect(tags.map((tag) => tag.textContent)).toEqual(
      expect.arrayContaining(['v4', 'ONNX', '✓ safe to load', '✓ SLO met']),
    );
    expect(text('.adm-url')).toBe('http://127.0.0.1:3131');
    button('Copy').click();
    await settle();
    expect(copied).toEqual(['http://127.0.0.1:3131']);
    expect(text('.adm-where')).toContain('Copied');
    button('Open').click();
    expect(opened).toEqual(['http://127.0.0.1:3131']);
  });

  it('tells of a pickled model, of an open port, of a canary and of what is wrong', async () => {
    const churn = golden().messages[1]?.glances?.[1];
    if (churn === undefined) throw new Error('the golden file has no churn');
    view.glance = { ...churn, status: { ...churn.status, name: 'iris', auth: false } };
    await live();
    const head = text('.adm-head');
    for (const told of ['degraded', '! pickled', 'no token', 'v12 canary 10%', '0 of 1 workers serve'])
      expect(head).toContain(told);
    find('button.adm-tag.adm-warn').click();
    expect(text('.adm-bubble:not([hidden])')).toContain('pickled model');
  });
});

describe('buttons', () => {
  it('are there for what the state allows, and say why where they are not', async () => {
    await live();
    for (const name of [
      'Test',
      'Stop',
      'Restart',
      'Scale · 2',
      'Re-tune',
      'Roll back',
      'Containerize',
      'Logs',
      'Code',
    ])
      expect([name, off(name)]).toEqual([name, false]);
    view.glance.status.state = 'stopped';
    transport.say({ glances: [structuredClone(view.glance)] });
    await settle();
    expect(off('Start')).toBe(false);
    for (const name of ['Test', 'Restart', 'Scale · 2', 'Re-tune'])
      expect([name, off(name)]).toEqual([name, true]);
    expect(button('Restart').title).toContain('start it first');
    button('Restart').click();
    expect(transport.count('/restart')).toBe(0);
  });

  it('do one thing on a double click, show what is under way, and how it ended', async () => {
    await live();
    button('Restart').click();
    button('Restart').click();
    expect(transport.count('/restart')).toBe(1);
    const call = transport.last('/restart');
    call.onProgress?.({ step: 'start', state: 'done', seconds: 0.4, detail: 'generation 8' });
    call.onProgress?.({ step: 'drain', state: 'started', seconds: 0, detail: '' });
    await settle();
    expect(text('.adm-jobs')).toBe('Restart✓ start 0.40 s drain…');
    expect(button('Restart').getAttribute('aria-busy')).toBe('true');
    expect(off('Stop')).toBe(true);
    expect(button('Stop').title).toBe('Wait for: Restart');
    call.resolve(view.glance.status);
    await settle();
    expect(find('.adm-jobs').hidden).toBe(true);
    expect(text('.adm-notices')).toContain('Restarted');
    expect(off('Stop')).toBe(false);
  });

  it('show an error with its why and its fix until it is dismissed', async () => {
    await live();
    button('Stop').click();
    transport.last('/stop').reject(new DeployError(golden().error));
    await settle();
    const notice = find('.adm-notice-bad');
    for (const told of [golden().error.what, golden().error.why, golden().error.fix])
      expect(notice.textContent).toContain(told);
    expect(find('.adm-notices').getAttribute('aria-live')).toBe('polite');
    find('[aria-label="Dismiss"]').click();
    await settle();
    expect(panel.node.querySelector('.adm-notice')).toBeNull();
  });

  it('ask before Stop only where it is wished', async () => {
    await live({ confirmStop: true });
    button('Stop').click();
    expect(transport.count('/stop')).toBe(0);
    expect(text('.adm-dialog')).toContain('Stop iris?');
    find('.adm-danger').click();
    expect(transport.last('/stop').method).toBe('POST');
  });
});

describe('scaling', () => {
  it('takes a number, says how many cores there are, and sends it once', async () => {
    await live();
    button('Scale · 2').click();
    const input = field('.adm-count');
    expect(document.activeElement).toBe(input);
    expect(off('Apply')).toBe(true);
    find('[aria-label="One more"]').click();
    expect(text('.adm-popover')).toContain('More workers than cores');
    button('Apply').click();
    expect(transport.last('/scale').body).toEqual({ workers: 3 });
    transport.last('/scale').resolve({ ...view.glance.status, desired_workers: 3 });
    await settle();
    expect(text('.adm-notices')).toContain('Scaled to 3');
  });

  it('closes on Escape and gives the keyboard back', async () => {
    await live();
    button('Scale · 2').click();
    const input = field('.adm-count');
    input.value = '0';
    input.dispatchEvent(new Event('input'));
    expect(off('Apply')).toBe(true);
    key(input, 'Escape');
    expect(find('.adm-popover').hidden).toBe(true);
    expect(document.activeElement).toBe(button('Scale · 2'));
  });
});

describe('dialogs', () => {
  it('keep the keyboard, close on Escape, and give it back', async () => {
    await live();
    const opener = button('Re-tune');
    opener.focus();
    opener.click();
    const dialog = find('[role=dialog].adm-dialog');
    expect(dialog.getAttribute('aria-modal')).toBe('true');
    expect(dialog.contains(document.activeElement)).toBe(true);
    expect(find('.adm-body').inert).toBe(true);
    const inside = [...dialog.querySelectorAll<HTMLElement>('button, input, [tabindex="0"]')].filter(
      (one) => one.tabIndex >= 0 && one.closest('[hidden]') === null,
    );
    inside.at(-1)?.focus();
    key(dialog.querySelector('.adm-dialog-foot button:last-child') ?? dialog, 'Tab');
    expect(document.activeElement).toBe(inside[0]);
    key(inside[0] ?? dialog, 'Tab', { shiftKey: true });
    expect(document.activeElement).toBe(inside.at(-1));
    key(dialog, 'Escape');
    expect(panel.node.querySelector('.adm-dialog')).toBeNull();
    expect(find('.adm-body').inert).toBe(false);
    expect(document.activeElement).toBe(opener);
  });

  it('set by hand: show what was measured, and send only what was changed', async () => {
    await live();
    button('Re-tune').click();
    expect(off('Start')).toBe(false);
    button('Set by hand').click();
    const rows = [...panel.node.querySelectorAll('.adm-dialog tbody tr')].map((row) => row.textContent);
    expect(rows[0]).toContain('✓ ONNX0.02 ms0.11 ms100 %2e-71.8 kBserves');
    expect(() => button('Start')).toThrow(); // it belongs to the other tab
    expect(off('Apply')).toBe(true);
    const batch = field('.adm-dialog [aria-label=batch_rows]');
    batch.value = '-3';
    batch.dispatchEvent(new Event('input'));
    expect(off('Apply')).toBe(true);
    batch.value = '64';
    batch.dispatchEvent(new Event('input'));
    button('Apply').click();
    expect(transport.last('/tune').body).toEqual({ settings: { batch_rows: 64 } });
  });

  it('roll back: to the version that the supervisor names, or to another', async () => {
    await live();
    button('Roll back').click();
    expect(field('.adm-choice input:checked').value).toBe('3');
    expect(field('.adm-choice input[value="4"]').disabled).toBe(true);
    button('Roll back to v3').click();
    expect(transport.last('/rollback').body).toEqual({ version: 3 });
    transport.last('/rollback').resolve({ ...view.glance.status, version: 3 });
    await settle();
    expect(text('.adm-notices')).toContain('v3 serves now');
  });

  it('promote: a newer one than serves, from the list of versions', async () => {
    const [four, three] = view.versions;
    if (four === undefined || three === undefined) throw new Error('the golden file has too few versions');
    view.versions = [
      { ...four, role: 'canary' },
      { ...three, role: 'champion' },
    ];
    await live({}, { version: 3 });
    button('Promote').click();
    button('Promote v4').click();
    expect(transport.last('/promote').body).toEqual({ version: 4 });
  });

  it('containerize: with an engine that is there, and its log; where none is, an archive', async () => {
    await live();
    button('Containerize').click();
    button('Build the image').click();
    expect(transport.last('/containerize').body).toEqual({ engine: 'docker', flavour: '', base: '' });
    transport.say({
      activity: {
        ...JOB,
        steps: [{ step: 'build', state: 'started', seconds: 0, detail: '' }],
        log: ['STEP 1/9'],
      },
    });
    await settle();
    expect(text('.adm-joblog')).toBe('STEP 1/9');
    const made = {
      name: 'iris:v4',
      engine: 'docker',
      archive: '',
      size_bytes: 181e6,
      rows: 30,
      run: ['docker run'],
    };
    transport.last('/containerize').resolve(made);
    await settle();
    expect(text('.adm-notices')).toContain('iris:v4 is built (181 MB) and proved: 30 rows');
    expect(text('.adm-notices code')).toBe('docker run');
    view.engines = [];
    transport.say({ glances: [structuredClone(view.glance)] });
    await settle(350);
    button('Containerize').click();
    expect(text('.adm-dialog')).toContain('No container engine was found');
    button('Build the image').click();
    expect(transport.last('/containerize').body).toEqual({ engine: 'archive', flavour: '', base: '' });
  });
});

describe('what is made elsewhere can be cancelled', () => {
  const ended = { deployment: 'iris', title: 'containerize iris', after_s: 4 };
  const cancelled = {
    error: 'ShipCancelled',
    what: 'containerize iris was cancelled',
    why: 'somebody asked for it after 4.0 s; nothing is left of it',
    fix: '',
  };

  it('begun here: one call however often it is pressed, and the one who waits is told without alarm', async () => {
    await live();
    button('Containerize').click();
    button('Build the image').click();
    expect(() => button('Cancel')).toThrow(); // it has not begun there yet
    transport.say({ activity: JOB });
    await settle();
    const cancel = button('Cancel');
    expect(cancel.getAttribute('aria-label')).toBe('Cancel: containerize iris');
    cancel.focus();
    transport.say({ activity: { ...JOB, log: ['STEP 2/9'] } });
    await settle();
    expect(button('Cancel')).toBe(cancel); // what is pressed is not drawn anew beneath the pointer
    expect(document.activeElement).toBe(cancel);
    cancel.click();
    cancel.click();
    expect(transport.count('/shipping/cancel')).toBe(1);
    expect(off('Cancel')).toBe(true);
    expect(cancel.title).toBe('Being cancelled');
    transport.say({ activity: { ...JOB, state: 'cancelled', error: cancelled.what } });
    transport.last('/containerize').reject(new DeployError(cancelled));
    transport.last('/shipping/cancel').resolve(ended);
    await settle();
    expect(find('.adm-jobs').hidden).toBe(true);
    expect(text('.adm-notices').match(/was cancelled/g)).toHaveLength(1);
    expect(text('.adm-notices')).toContain('nothing is left of it');
    expect(panel.node.querySelector('.adm-notice-bad')).toBeNull();
    expect(off('Containerize')).toBe(false);
  });

  it('begun elsewhere; what cannot be cancelled has no such button, and what came too late is told', async () => {
    await live();
    transport.say({ activity: { ...JOB, id: 'restart', title: 'restart iris' } });
    transport.say({ activity: { ...JOB, id: 'kernel', title: 'deploy iris', where: 'kernel' } });
    await settle();
    expect(() => button('Cancel')).toThrow();
    transport.say({ activity: { ...JOB, title: 'ship iris' } });
    await settle();
    button('Cancel').click();
    const late = {
      ...cancelled,
      error: 'InvalidOption',
      what: 'ship iris ended before it could be cancelled',
    };
    transport.last('/shipping/cancel').reject(new DeployError(late));
    await settle();
    expect(text('.adm-notice-bad')).toContain('ended before it could be cancelled');
    button('Cancel').click();
    transport.last('/shipping/cancel').resolve({ ...ended, title: 'ship iris' });
    await settle();
    expect(text('.adm-notices')).toContain('ship iris was cancelled');
  });

  it('cancelled by somebody else is told in a word, and not as a failure', async () => {
    await live();
    transport.say({ activity: JOB });
    await settle();
    transport.say({ activity: { ...JOB, state: 'cancelled', error: cancelled.what } });
    await settle();
    expect(text('.adm-notices')).toContain('containerize iris was cancelled');
    expect(panel.node.querySelector('.adm-notice-bad')).toBeNull();
    expect(find('.adm-jobs').hidden).toBe(true);
  });
});

describe('the drawer', () => {
  it('tests: shows the request, the answer, the time, and whether it is as verified', async () => {
    await live();
    button('Test').click();
    expect(transport.last('/test').body).toEqual({ rows: 1 });
    transport.last('/test').resolve(golden().probe);
    await settle();
    const shown = text('.adm-probe');
    for (const told of [
      'HTTP 200',
      'answered by v4 in 3.1 ms',
      '✓ as verified',
      '[[5.1, 3.5, 1.4, 0.2]]',
      '"predictions"',
    ])
      expect(shown).toContain(told);
    button('Test').click();
    expect(find('.adm-drawer').hidden).toBe(true);
  });

  it('shows why a test failed', async () => {
    await live();
    button('Test').click();
    transport.last('/test').reject(new DeployError(golden().error));
    await settle();
    expect(text('.adm-probe')).toContain(golden().error.fix);
  });

  it('shows the log, and reads it again when asked', async () => {
    await live();
    button('Logs').click();
    expect(transport.last('/logs').path).toContain('lines=200');
    transport.last('/logs').resolve('one\ntwo');
    await settle();
    expect(text('.adm-log')).toBe('one\ntwo');
    field('.adm-drawer input[type=checkbox]').checked = false;
    button('Refresh').click();
    transport.last('/logs').resolve('');
    await settle();
    expect(text('.adm-log')).toBe('the log is empty');
    key(find('.adm-log'), 'Escape');
    expect(find('.adm-drawer').hidden).toBe(true);
  });

  it('shows code by language, turned by the arrow keys, and copies it', async () => {
    await live();
    button('Code').click();
    const tabs = [...panel.node.querySelectorAll<HTMLButtonElement>('[role=tab]')];
    expect(tabs.map((tab) => tab.textContent)).toEqual(['curl', 'Python', 'JavaScript']);
    const [curl, python] = tabs;
    if (curl === undefined || python === undefined) throw new Error('there are no tabs');
    key(curl, 'ArrowRight');
    expect(python.getAttribute('aria-selected')).toBe('true');
    expect(document.activeElement).toBe(python);
    expect(text('.adm-code')).toBe(view.snippets.python);
    find('.adm-drawer-head .adm-button').click();
    await settle();
    expect(copied).toEqual([view.snippets.python]);
  });
});
