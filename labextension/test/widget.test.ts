import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { golden, settle } from './stand';
import type { Series, View } from '../src/api/types';
import widget from '../src/widget';

interface Traits {
  name: string;
  seconds: number;
  history: Series | null;
  view: View | null;
  comm_only: boolean;
}

class Model {
  readonly sent: { id?: string; call?: { path: string }; watch?: boolean }[] = [];
  private readonly handlers = new Map<string, Set<(message: unknown) => void>>();
  saved = 0;

  constructor(readonly traits: Traits) {}

  get<K extends keyof Traits>(name: K): Traits[K] {
    return this.traits[name];
  }
  set<K extends keyof Traits>(name: K, value: Traits[K]): void {
    this.traits[name] = value;
  }
  save_changes(): void {
    this.saved += 1;
  }
  send(content: unknown): void {
    this.sent.push(content as { watch?: boolean });
  }
  on(event: string, handler: (message: unknown) => void): void {
    this.handlers.set(event, (this.handlers.get(event) ?? new Set()).add(handler));
  }
  off(event: string, handler: (message: unknown) => void): void {
    this.handlers.get(event)?.delete(handler);
  }
  say(message: unknown, event = 'msg:custom'): void {
    for (const handler of [...(this.handlers.get(event) ?? [])]) handler(message);
  }
  get listeners(): number {
    return [...this.handlers.values()].reduce((sum, handlers) => sum + handlers.size, 0);
  }
}

const traits = (more: Partial<Traits> = {}): Traits => ({
  name: 'iris',
  seconds: 300,
  history: null,
  view: null,
  comm_only: true,
  ...more,
});

let el: HTMLElement;

beforeEach(() => {
  // Drawing itself is uPlot's; a page without a canvas draws nothing.
  const nothing: unknown = new Proxy(() => undefined, {
    get: (_, name) => (name === 'measureText' ? () => ({ width: 9 }) : nothing),
    apply: () => nothing,
    set: () => true,
  });
  vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(nothing as null);
  vi.stubGlobal(
    'Path2D',
    class {
      moveTo(): void {
        /* nothing is drawn */
      }
      lineTo(): void {
        /* nothing is drawn */
      }
      rect(): void {
        /* nothing is drawn */
      }
      addPath(): void {
        /* nothing is drawn */
      }
      arc(): void {
        /* nothing is drawn */
      }
      closePath(): void {
        /* nothing is drawn */
      }
    },
  );
  document.body.innerHTML =
    '<div class="jp-Cell"><div class="jp-OutputArea"><div id="here"></div><div class="adm-static" data-deployment="iris"></div><div class="adm-static" data-deployment="churn"></div></div></div>';
  el = document.getElementById('here') ?? document.body;
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe('the widget', () => {
  it('watches over the comm where there is no server, draws, and ends with its output', async () => {
    const model = new Model(traits());
    const end = widget.render({ model, el });
    await settle();
    expect(model.sent[0]?.watch).toBe(true);
    for (const live of golden().messages) model.say({ live });
    await settle();
    expect(el.querySelector('.adm-state')?.textContent).toBe('running');
    const view = model.sent.find((sent) => sent.call?.path.endsWith('/view'));
    model.say({ id: view?.id, result: golden().view });
    const series = model.sent.find((sent) => sent.call?.path.includes('/series'));
    model.say({ id: series?.id, result: golden().series });
    await settle();
    expect(el.querySelectorAll('.adm-versions li')).toHaveLength(2);
    expect(el.querySelectorAll('canvas').length).toBeGreaterThan(3);
    end();
    expect(el.children).toHaveLength(0);
    expect(model.listeners).toBe(0);
    expect(model.sent.at(-1)?.watch).toBe(false);
  });

  it('hides its static twin while it is there, and that of no other', async () => {
    const model = new Model(traits());
    const end = widget.render({ model, el });
    await settle();
    const shown = (name: string): string =>
      getComputedStyle(document.querySelector(`.adm-static[data-deployment=${name}]`) ?? document.body)
        .display;
    expect([shown('iris'), shown('churn')]).toEqual(['none', 'block']);
    end();
    expect(shown('iris')).toBe('block');
    expect(document.querySelector('style.adm-twin')).toBeNull();
  });

  it('shows one model twice with one stream, and its style once', async () => {
    const model = new Model(traits());
    const other = document.createElement('div');
    document.body.append(other);
    const ends = [widget.render({ model, el }), widget.render({ model, el: other })];
    await settle();
    expect(model.sent.filter((sent) => sent.watch === true)).toHaveLength(1);
    expect(document.querySelectorAll('style.adm-widget-style')).toHaveLength(1);
    for (const end of ends) end();
    expect(model.listeners).toBe(0);
  });

  it('draws what was saved where nothing answers', async () => {
    const model = new Model(traits({ history: golden().series, view: golden().view }));
    model.send = () => {
      throw new Error('there is no kernel');
    };
    const end = widget.render({ model, el });
    await settle();
    expect(el.querySelector('.adm-banner')?.textContent).toContain('A saved state, as of');
    expect(el.querySelector('.adm-tiles')?.textContent).toContain('214 /s');
    end();
  });

  it('takes what is to be saved also where it comes after the panel', async () => {
    const model = new Model(traits());
    model.send = () => {
      throw new Error('there is no kernel');
    };
    const end = widget.render({ model, el });
    await settle();
    expect(el.querySelector('.adm-banner')?.textContent).toContain('Nothing answers');
    model.traits.history = golden().series;
    model.traits.view = golden().view;
    model.say({}, 'change:view');
    await settle();
    expect(el.querySelector('.adm-banner')?.textContent).toContain('A saved state');
    expect(el.querySelectorAll('.adm-versions li')).toHaveLength(2);
    end();
    expect(model.listeners).toBe(0);
  });

  it('keeps the window that was chosen with the notebook', async () => {
    const model = new Model(traits({ seconds: 900 }));
    const end = widget.render({ model, el });
    await settle();
    const select = el.querySelector<HTMLSelectElement>('.adm-toolbar select');
    expect(select?.value).toBe('900');
    if (select === null) throw new Error('there is no choice');
    select.value = '60';
    select.dispatchEvent(new Event('change'));
    expect([model.traits.seconds, model.saved]).toEqual([60, 1]);
    end();
  });

  it('that is removed before it has found its way leaves nothing', async () => {
    const model = new Model(traits());
    widget.render({ model, el })();
    await settle();
    expect(el.children).toHaveLength(0);
    expect(model.listeners).toBe(0);
  });
});
