// The road over the Jupyter Server's extension: fetch for calls, one WebSocket of the page for what is live.

import { readAnswer } from './answer';
import { lineTo, type LiveLine } from './line';
import {
  DeployError,
  isPayload,
  type Disposable,
  type LinkState,
  type Method,
  type Transport,
} from './transport';
import type { Message, Progress } from './types';

/** The supervisor says something every two seconds while it works. One that is silent for this long hangs. */
const SILENCE_MS = 20_000;

export interface ServerOptions {
  /** The Jupyter Server's base URL, with a slash at its end. */
  baseUrl: string;
  wsUrl?: string;
  fetch?: typeof fetch;
  WebSocket?: typeof WebSocket;
  token?: string;
}

export class ServerTransport implements Transport {
  readonly baseUrl: string;
  readonly root = slashless(pageConfig()?.serverRoot ?? '');
  private readonly token: string;
  private readonly fetch: typeof fetch;
  private readonly line: LiveLine;

  constructor(options: ServerOptions) {
    this.baseUrl = new URL(slashed(options.baseUrl), document.baseURI).href;
    this.token = options.token ?? '';
    this.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    const Socket = options.WebSocket ?? globalThis.WebSocket;
    const url = new URL(slashed(options.wsUrl ?? this.baseUrl), this.baseUrl);
    url.protocol = url.protocol.replace(/^http/, 'ws');
    const live = `${url.href}autodeploy/live`;
    const token = this.token;
    this.line = lineTo(live, (names) => new Socket(live + query({ names: names?.join(','), token })));
  }

  async call<T>(
    method: Method,
    path: string,
    body?: unknown,
    onProgress?: (step: Progress) => void,
  ): Promise<T> {
    const aborting = new AbortController();
    let silence = setTimeout(() => aborting.abort(), SILENCE_MS);
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => aborting.abort(), SILENCE_MS);
    };
    try {
      const response = await this.fetch(`${this.baseUrl}autodeploy/api${path}`, {
        method,
        headers: this.headers(body !== undefined),
        body: body === undefined ? null : JSON.stringify(body),
        credentials: 'same-origin',
        cache: 'no-store',
        signal: aborting.signal,
      });
      heard();
      if (!response.ok) throw await refusal(response);
      return (await readAnswer(response, onProgress, heard)) as T;
    } catch (thrown) {
      if (thrown instanceof DeployError) throw thrown;
      throw unreachable(aborting.signal.aborted, thrown);
    } finally {
      clearTimeout(silence);
    }
  }

  watch(
    onMessage: (message: Message) => void,
    onState: (state: LinkState) => void,
    names?: string[],
  ): Disposable {
    return this.line.watch({ names: names ?? null, onMessage, onState });
  }

  /** Where the Jupyter Server passes requests on to a deployment: for a browser on another machine. */
  proxyUrl(name: string): string {
    return `${this.baseUrl}autodeploy/proxy/${encodeURIComponent(name)}/`;
  }

  private headers(json: boolean): Record<string, string> {
    const xsrf = /(?:^|;\s*)_xsrf=([^;]*)/.exec(document.cookie)?.[1];
    return {
      Accept: 'application/x-ndjson',
      ...(json ? { 'Content-Type': 'application/json' } : {}),
      ...(xsrf === undefined ? {} : { 'X-XSRFToken': xsrf }),
      ...(this.token === '' ? {} : { Authorization: `token ${this.token}` }),
    };
  }
}

let found: Promise<ServerTransport | null> | null = null;

/** The page's own Jupyter Server, where it has our extension; null elsewhere. For the widget. */
export function findServer(): Promise<ServerTransport | null> {
  found ??= look().then((server) => {
    if (server === null) found = null; // it may be installed meanwhile: a later widget asks again
    return server;
  });
  return found;
}

async function look(): Promise<ServerTransport | null> {
  const options = pageOptions();
  if (options === null) return null;
  const aborting = new AbortController();
  const late = setTimeout(() => aborting.abort(), 4000);
  const fetching: typeof fetch = (input, init) =>
    globalThis.fetch(input, { ...init, signal: aborting.signal });
  try {
    await new ServerTransport({ ...options, fetch: fetching }).call('GET', '/hello');
    return new ServerTransport(options);
  } catch {
    return null;
  } finally {
    clearTimeout(late);
  }
}

/** What JupyterLab and Notebook say of their server in the page; null where the page is not one of theirs. */
function pageOptions(): ServerOptions | null {
  if (!/^https?:$/.test(location.protocol)) return null;
  const config = pageConfig();
  if (config === null) return null;
  return {
    baseUrl: config.baseUrl ?? '/',
    ...(config.wsUrl ? { wsUrl: config.wsUrl } : {}),
    ...(config.token ? { token: config.token } : {}),
  };
}

interface PageConfig {
  baseUrl?: string;
  wsUrl?: string;
  token?: string;
  /** The folder whose files the page shows; "~" is the person's home. */
  serverRoot?: string;
}

function pageConfig(): PageConfig | null {
  const text = document.getElementById('jupyter-config-data')?.textContent ?? '';
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text) as PageConfig;
  } catch {
    return null;
  }
}

async function refusal(response: Response): Promise<DeployError> {
  const text = await response.text().catch(() => '');
  const ours = ourRefusal(text);
  if (ours !== null) return ours;
  const told = /"message":\s*"([^"]*)"/.exec(text)?.[1] ?? '';
  if (response.status === 401 || response.status === 403)
    return new DeployError({
      error: 'Forbidden',
      what: `the Jupyter Server refused the call (${response.status})`,
      why: told || 'this page is no longer logged in',
      fix: 'reload the page, and log in again where it asks',
    });
  if (response.status === 404)
    return new DeployError({
      error: 'NotFound',
      what: 'the Jupyter Server does not know autodeploy',
      why: told || 'its extension is not installed there, or not enabled',
      fix: 'run `jupyter server extension enable autodeploy_magic.server_extension` and restart the server',
    });
  return new DeployError({
    error: 'ServerFailed',
    what: `the Jupyter Server answered ${response.status}`,
    why: told || response.statusText,
    fix: 'try again; the log of the Jupyter Server has the details',
  });
}

/** What the extension itself refused, in the words of every other error; null where Jupyter refused. */
function ourRefusal(text: string): DeployError | null {
  try {
    const found: unknown = (JSON.parse(text) as { error?: unknown }).error;
    return isPayload(found) ? new DeployError(found) : null;
  } catch {
    return null;
  }
}

function unreachable(silent: boolean, thrown: unknown): DeployError {
  return new DeployError({
    error: 'Unreachable',
    what: silent
      ? `the Jupyter Server said nothing for ${SILENCE_MS / 1000} s`
      : 'the Jupyter Server cannot be reached',
    why: silent ? 'it hangs, or the network does' : thrown instanceof Error ? thrown.message : String(thrown),
    fix: 'check that it still runs and that the network is there; deployments serve on without it',
  });
}

function query(values: Record<string, string | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  const pairs = given.map(([name, value]) => `${name}=${encodeURIComponent(value ?? '')}`);
  return pairs.length > 0 ? `?${pairs.join('&')}` : '';
}

function slashless(path: string): string {
  return path.replace(/\/+$/, '');
}

function slashed(url: string): string {
  return url.endsWith('/') ? url : `${url}/`;
}
