// The widget's module for anywidget: the panel in a notebook's output, and what stands in for it when it is not there.

import uplotStyle from 'uplot/dist/uPlot.min.css';
import { CommTransport, type CommModel } from './api/comm';
import { findServer, type ServerTransport } from './api/server';
import { LiveStore } from './api/store';
import { DeployError, type Disposable, type Transport } from './api/transport';
import type { Series, View } from './api/types';
import { hideTwin } from './panel/twin';
import { Panel } from './panel/panel';
import chartStyle from './chart/chart.css';
import healthStyle from './panel/health.css';
import panelStyle from './panel/layout.css';
import partsStyle from './panel/parts.css';
import retuneStyle from './panel/retune.css';
import shipStyle from './panel/ship.css';
import themeStyle from './panel/theme.css';

interface Traits {
  name: string;
  seconds: number;
  history: Series | null;
  view: View | null;
  comm_only: boolean;
}

/** What anywidget hands over. */
interface Model extends Omit<CommModel, 'on' | 'off'> {
  on(event: string, handler: (message: unknown) => void): void;
  off(event: string, handler: (message: unknown) => void): void;
  get<K extends keyof Traits>(name: K): Traits[K];
  set<K extends keyof Traits>(name: K, value: Traits[K]): void;
  save_changes(): void;
}

interface Road extends Disposable {
  transport: Transport;
  store: LiveStore;
  proxyUrl: string | null;
}

const SAVED = ['change:history', 'change:view'];

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    addStyle(el);
    const name = model.get('name');
    let panel: Panel | null = null;
    let twin: Disposable | null = null;
    let road: Road | null = null;
    let gone = false;
    void findRoad(model, name).then((found) => {
      if (gone) {
        found.dispose();
        return;
      }
      road = found;
      panel = new Panel({
        name,
        transport: found.transport,
        store: found.store,
        proxyUrl: found.proxyUrl,
        seconds: model.get('seconds') || 300,
        onSeconds: (seconds) => {
          model.set('seconds', seconds);
          model.save_changes();
        },
        history: model.get('history'),
        view: model.get('view'),
      });
      el.append(panel.node);
      twin = hideTwin(el, name);
      for (const change of SAVED) model.on(change, keep);
    });
    // The kernel shows a panel at once, and what is to be saved with it may come after.
    const keep = (): void => panel?.keep(model.get('history'), model.get('view'));
    return () => {
      gone = true;
      for (const change of SAVED) model.off(change, keep);
      twin?.dispose();
      panel?.dispose();
      road?.dispose();
    };
  },
};

/** Stores that panels share: by the server and the deployment, or by the widget's model. */
const shared = new Map<string, { store: LiveStore; users: number }>();
const overComm = new WeakMap<Model, { transport: CommTransport; store: LiveStore; users: number }>();

async function findRoad(model: Model, name: string): Promise<Road> {
  const server = model.get('comm_only') ? null : await findServer();
  if (server === null || !(await knows(server, name))) return commRoad(model, name);
  const key = `${server.baseUrl} ${name}`;
  const entry = shared.get(key) ?? { store: new LiveStore(server, [name]), users: 0 };
  entry.users += 1;
  shared.set(key, entry);
  return {
    transport: server,
    store: entry.store,
    proxyUrl: server.proxyUrl(name),
    dispose: () => {
      entry.users -= 1;
      if (entry.users === 0) shared.delete(key);
    },
  };
}

/** Whether the page's server has the deployment: a kernel may run on another machine, with a supervisor of its own. */
async function knows(server: ServerTransport, name: string): Promise<boolean> {
  try {
    await server.call('GET', `/deployments/${encodeURIComponent(name)}/view`);
    return true;
  } catch (thrown) {
    return DeployError.of(thrown).error !== 'UnknownDeployment';
  }
}

function commRoad(model: Model, name: string): Road {
  let entry = overComm.get(model);
  if (entry === undefined) {
    const transport = new CommTransport(model);
    entry = { transport, store: new LiveStore(transport, [name]), users: 0 };
    overComm.set(model, entry);
  }
  const kept = entry;
  kept.users += 1;
  return {
    transport: kept.transport,
    store: kept.store,
    proxyUrl: null,
    dispose: () => {
      kept.users -= 1;
      if (kept.users > 0) return;
      overComm.delete(model);
      kept.transport.dispose();
    },
  };
}

const STYLE = 'adm-widget-style';

/** Add our style to the page, or to the shadow that the output lives in; once. */
function addStyle(el: HTMLElement): void {
  const root = el.getRootNode();
  const place = root instanceof ShadowRoot ? root : document.head;
  if (place.querySelector(`style.${STYLE}`) !== null) return;
  const style = document.createElement('style');
  style.className = STYLE;
  style.textContent = [
    uplotStyle,
    themeStyle,
    panelStyle,
    partsStyle,
    healthStyle,
    retuneStyle,
    shipStyle,
    chartStyle,
  ].join('\n');
  place.append(style);
}
