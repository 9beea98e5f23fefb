// A page with nothing but the panel's widget, and a kernel that is made up: it answers the panel's calls and sends points.
//
// `stage.speed` makes the page's clock run faster: an hour of a panel that is left open then passes in a minute.

const COLUMNS = [
  'requests_per_s', 'refused_per_s', 'failed_per_s', 'p50_s', 'p95_s', 'p99_s', 'in_flight', 'waiting', 'bytes_in_per_s',
  'bytes_out_per_s', 'cpu_cores', 'memory_bytes', 'disk_bytes', 'disk_free_bytes', 'gpu_share', 'gpu_memory_bytes',
];
// As a deployment's figures look: a rate that rises and falls, medians that are steady, a p99 that is not.
const wave = (t, noise) => 1 + 0.2 * Math.sin(t / 47) + noise * (Math.random() - 0.5);
const valuesAt = (t) => [
  212 * wave(t, 0.1), 0, 0, 0.0019 * wave(t, 0.1), 0.0027 * wave(t, 0.3), 0.0038 * wave(t, 1), Math.round(3 * wave(t, 1)),
  0, 42400, 61480, 0.34 * wave(t, 0.2), 64e6 + 4e5 * wave(t, 1), 1.8e6, 1.2e11, null, null,
];

const realNow = Date.now.bind(Date);
const born = realNow();
export const stage = { speed: 1, rate: 1, sent: 0, bytes: 0 };
Date.now = () => born + (realNow() - born) * stage.speed;
const nowS = () => Date.now() / 1000;

function series(name, query) {
  const seconds = Number(query.get('seconds') ?? 300);
  const points = Number(query.get('points') ?? 300);
  const step = Math.max(1, Math.ceil(seconds / points));
  const until = Math.floor(Number(query.get('until') ?? nowS() - 2) / step) * step;
  const count = Math.ceil(seconds / step);
  const start = until - (count - 1) * step;
  const rows = Array.from({ length: count }, (_, i) => valuesAt(start + i * step));
  return { name, start_s: start, step_s: step, columns: COLUMNS, values: COLUMNS.map((_, c) => rows.map((row) => row[c])) };
}

function answer(view, { method, path }) {
  const url = new URL(path, 'http://kernel');
  if (url.pathname.endsWith('/view')) return view;
  if (url.pathname.endsWith('/series')) return series(view.glance.status.name, url.searchParams);
  if (url.pathname.endsWith('/events')) return view.events;
  if (url.pathname.endsWith('/glances')) return [view.glance];
  return method === 'GET' ? null : view.glance.status;
}

/** Show a panel in `el`, its charts `seconds` wide. */
export async function show(script, el, view, seconds) {
  const { name } = view.glance.status;
  const traits = { name, seconds, history: null, view, comm_only: true };
  const heard = new Set();
  const tell = (content) => {
    stage.sent += 1;
    stage.bytes += JSON.stringify(content).length;
    for (const handler of [...heard]) handler(content, []);
  };
  let ticking = 0;
  const follow = (watch) => {
    clearTimeout(ticking);
    if (!watch) return;
    tell({ live: { hello: { now_s: nowS(), release: '0', columns: COLUMNS } } });
    tell({ live: { glances: [view.glance] } });
    tell({ live: { activities: [] } });
    let last = Math.floor(nowS()) - 2;
    const tick = () => {
      const t = Math.floor(nowS()) - 2;
      // A second is told of once more where nothing newer is there: that is how a rate of more than one a second looks.
      for (last = Math.min(last + 1, t); last < t; last += 1) tell({ live: { point: { name, t: last, v: valuesAt(last) } } });
      tell({ live: { point: { name, t, v: valuesAt(t) } } });
      ticking = setTimeout(tick, 1000 / stage.rate);
    };
    tick();
  };
  const model = {
    get: (key) => traits[key],
    set: (key, value) => { traits[key] = value; },
    save_changes: () => undefined,
    on: (event, handler) => { if (event === 'msg:custom') heard.add(handler); },
    off: (event, handler) => { heard.delete(handler); },
    send: (content) => {
      if ('watch' in content) setTimeout(() => follow(content.watch));
      else setTimeout(() => tell({ id: content.id, result: answer(view, content.call) }));
    },
  };
  const widget = (await import(script)).default;
  return widget.render({ model, el, experimental: {} });
}
