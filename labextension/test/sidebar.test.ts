import { readFileSync } from 'node:fs';
import axe from 'axe-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Ring } from '../src/api/ring';
import { LiveStore } from '../src/api/store';
import { plain, type LinkState, type Transport } from '../src/api/transport';
import { COLUMNS, type Column, type Glance, type Message } from '../src/api/types';
import { concern, figures, jobText, trafficText } from '../src/sidebar/figures';
import { DeploymentList, type ListOptions } from '../src/sidebar/list';

const golden = JSON.parse(readFileSync('../tests/golden/live.json', 'utf-8')) as { messages: Message[] };
const glances = golden.messages.find((message) => message.glances !== undefined)?.glances ?? [];
const named = (name: string): Glance => {
  const found = glances.find((glance) => glance.status.name === name);
  if (found === undefined) throw new Error(`${name} is not in live.json`);
  return found;
};

class Wire implements Transport {
  send: (message: Message) => void = () => undefined;
  state: (state: LinkState) => void = () => undefined;

  call<T>(): Promise<T> {
    return Promise.reject(new Error('not asked for here'));
  }

  watch(onMessage: (message: Message) => void, onState: (state: LinkState) => void): { dispose(): void } {
    this.send = onMessage;
    this.state = onState;
    return { dispose: () => undefined };
  }
}

let wire: Wire;
let store: LiveStore;
let list: DeploymentList;
let asked: string[];

beforeEach(() => {
  wire = new Wire();
  store = new LiveStore(wire);
  store.start();
  wire.state('open');
  asked = [];
  const note =
    (what: string) =>
    (name = ''): void =>
      void asked.push(`${what} ${name}`.trim());
  const options: ListOptions = {
    store,
    trans: plain,
    open: note('open'),
    start: note('start'),
    menu: note('menu'),
    remove: note('remove'),
    deploy: note('deploy'),
    check: note('check'),
  };
  list = new DeploymentList(options);
  document.body.append(list.node);
  list.setLink('there');
});

afterEach(() => {
  list.dispose();
});

const row = (name: string): HTMLElement => {
  const found = list.node.querySelector<HTMLElement>(`[data-name="${name}"]`);
  if (found === null) throw new Error(`no row ${name}`);
  return found;
};
const text = (name: string, part: string): string =>
  row(name).querySelector(`.adm-Row-${part}`)?.textContent ?? '';
const shown = (): string => list.node.querySelector('.adm-Sidebar-empty:not([hidden])')?.textContent ?? '';

/** Every message of live.json but the one that takes titanic away. */
function all(): void {
  const now = store.now();
  for (const message of golden.messages) {
    if (message.gone !== undefined) continue;
    if (message.hello !== undefined) wire.send({ hello: { ...message.hello, now_s: now } });
    else if (message.point !== undefined) {
      list.draw(); // points are kept from when a row asks for them
      wire.send({ point: { ...message.point, t: Math.floor(now) } });
    } else wire.send(message);
  }
  list.draw();
}

describe('the list', () => {
  it('shows each deployment by name, with its state, version and last figures', () => {
    all();
    const names = [...list.node.querySelectorAll('.adm-Row-name')].map((node) => node.textContent);
    expect(names).toEqual(['churn', 'iris', 'titanic']);
    expect(row('iris').dataset['state']).toBe('running');
    expect(text('iris', 'tag')).toBe('v4');
    expect(text('iris', 'right')).toBe('3.4 ms');
    expect(text('iris', 'line')).toBe('212/s · 0.00 % errors · 64 MB');
    expect(row('iris').querySelector('path')?.getAttribute('d')).toMatch(/^M/);
  });

  it('tells of an alert, of what is beside the champion, and since when one is stopped', () => {
    all();
    expect(text('churn', 'right')).toBe('degraded');
    expect(text('churn', 'concern')).toBe('worker 5120 was ended by SIGKILL; replaced after 0.1 s');
    expect(text('churn', 'beside')).toBe('v12 canary 10%');
    expect(text('titanic', 'right')).toBe('stopped');
    expect(text('titanic', 'line')).toMatch(/^since 2025-11-2\d \d\d:\d\d$/);
  });

  it('shows how far a job is, and a build of what is not there yet', () => {
    all();
    expect(text('iris', 'job')).toBe('rollback iris · start · version 3');
    wire.send({
      activity: {
        id: 'k1',
        name: 'wine',
        title: 'deploy wine',
        state: 'running',
        started_s: 1,
        steps: [{ step: 'export', state: 'started', seconds: 0, detail: '' }],
        error: '',
        where: 'kernel',
      },
    });
    list.draw();
    expect(text('wine', 'right')).toBe('building');
    expect(text('wine', 'job')).toBe('deploy wine · export');
  });

  it('takes away what is gone, and says so where nothing is left', () => {
    all();
    wire.send({ gone: ['titanic'] });
    list.draw();
    expect(() => row('titanic')).toThrow();
    wire.send({ gone: ['iris', 'churn'] });
    list.draw();
    expect(shown()).toContain('%%deploy iris --model model --sample X_test');
  });

  it('says what to do where the server has no extension', () => {
    list.setLink('missing');
    list.draw();
    expect(shown()).toContain('jupyter server extension enable autodeploy_magic.server_extension');
    [...list.node.querySelectorAll('button')].find((button) => button.textContent === 'Look again')?.click();
    expect(asked).toEqual(['check']);
  });

  it('keeps what it knows while the connection is lost, and says so', () => {
    all();
    wire.state('lost');
    list.draw();
    expect(list.node.classList).toContain('adm-mod-stale');
    expect(list.node.querySelector('.adm-Sidebar-notice')?.textContent).toContain('cannot be reached');
    expect(text('iris', 'tag')).toBe('v4');
    wire.state('open');
    list.draw();
    expect(list.node.classList).not.toContain('adm-mod-stale');
  });

  it('tells a change of state aloud, and not the state that it finds', () => {
    all();
    const aloud = list.node.querySelector('[aria-live]');
    expect(aloud?.textContent).toBe('');
    const iris = named('iris');
    wire.send({
      glances: [{ ...iris, status: { ...iris.status, state: 'failed', reason: 'no worker lives' } }],
    });
    list.draw();
    expect(aloud?.textContent).toBe('iris is failed');
    expect(text('iris', 'concern')).toBe('no worker lives');
  });

  it('goes by keyboard: arrows, Enter through the button, Delete', () => {
    all();
    list.focus();
    const press = (key: string): void => {
      document.activeElement?.dispatchEvent(
        new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }),
      );
    };
    expect(document.activeElement).toBe(row('churn').querySelector('.adm-Row-main'));
    press('ArrowDown');
    press('ArrowDown');
    expect(row('titanic').contains(document.activeElement)).toBe(true);
    press('Home');
    press('Delete');
    (document.activeElement as HTMLElement).click();
    row('titanic').querySelector<HTMLElement>('.adm-Row-start')?.click();
    row('iris').querySelector<HTMLElement>('.adm-Row-more')?.click();
    expect(asked).toEqual(['remove churn', 'open churn', 'start titanic', 'menu iris']);
  });

  it('draws the points of one second together', () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'requestAnimationFrame', 'cancelAnimationFrame', 'Date'],
    });
    try {
      const drawn = vi.spyOn(list, 'draw');
      const point = golden.messages.find((message) => message.point !== undefined)?.point;
      for (let i = 0; i < 20; i += 1)
        if (point !== undefined) wire.send({ point: { ...point, t: point.t + i } });
      vi.advanceTimersByTime(1100);
      expect(drawn.mock.calls.length).toBeLessThanOrEqual(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it('has nothing that axe finds fault with', async () => {
    HTMLCanvasElement.prototype.getContext = () => null; // jsdom has none, and says so each time
    all();
    const rules = { 'color-contrast': { enabled: false }, region: { enabled: false } }; // jsdom draws nothing
    const found = await axe.run(list.node, { rules });
    expect(found.violations.map((violation) => `${violation.id}: ${violation.help}`)).toEqual([]);
  });
});

describe('the figures of a row', () => {
  const ring = (points: Partial<Record<Column, number>>[]): Ring => {
    const made = new Ring(180);
    points.forEach((point, i) => made.put(1000 + i, (column) => point[COLUMNS[column] ?? 'p50_s'] ?? null));
    return made;
  };

  it('are none where nothing was measured, or long ago', () => {
    expect(figures(new Ring(180), 1000)).toEqual({ latency: '–', line: '' });
    expect(figures(ring([{ requests_per_s: 5, p99_s: 0.1 }]), 1100)).toEqual({ latency: '–', line: '' });
  });

  it('leave errors out where nothing was asked', () => {
    expect(figures(ring([{ requests_per_s: 0, memory_bytes: 61e6 }]), 1001)).toEqual({
      latency: '–',
      line: '0/s · 61 MB',
    });
  });

  it('are means of the last seconds, latency that of the last request', () => {
    const some = ring([
      { requests_per_s: 10, failed_per_s: 1, p99_s: 0.5 },
      { requests_per_s: 30, failed_per_s: 0, p99_s: 0.02 },
      { requests_per_s: 20 },
    ]);
    expect(figures(some, 1003)).toEqual({ latency: '20.0 ms', line: '20/s · 1.7 % errors' });
  });

  it('tell the worst that wants an eye', () => {
    expect(concern(named('iris'), plain)).toBeNull();
    expect(concern({ ...named('iris'), slo_state: 'broken' }, plain)).toEqual({
      text: 'SLO broken: p99<50ms, errors<0.1%',
      severity: 'critical',
    });
    expect(concern(named('churn'), plain)?.severity).toBe('warning');
    expect(trafficText(named('iris'), plain)).toBe('');
  });

  it('say why a job failed', () => {
    const job = {
      id: '1',
      name: 'a',
      title: 'restart a',
      started_s: 0,
      steps: [],
      where: 'supervisor' as const,
    };
    expect(jobText({ ...job, state: 'failed', error: 'the port is taken' })).toBe(
      'restart a: the port is taken',
    );
    expect(jobText({ ...job, state: 'running', error: '' })).toBe('restart a');
  });
});
