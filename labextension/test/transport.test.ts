import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findServer, ServerTransport } from '../src/api/server';
import { DeployError, NameFilter, plain } from '../src/api/transport';
import type { Progress } from '../src/api/types';
import { golden } from './stand';

type Fetching = (url: string, init: RequestInit) => Promise<Response>;

function transport(fetching: Fetching, token = ''): ServerTransport {
  return new ServerTransport({
    baseUrl: '/user/ada/',
    fetch: fetching as typeof fetch,
    WebSocket: vi.fn() as unknown as typeof WebSocket,
    token,
  });
}

/** A body that comes in these pieces, however they cut the lines. */
function streamed(...pieces: string[]): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for (const piece of pieces) {
        await Promise.resolve();
        controller.enqueue(encoder.encode(piece));
      }
      controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson' } });
}

const step: Progress = { step: 'start', state: 'done', seconds: 0.2, detail: 'version 3 · größer' };

describe('a call over the Jupyter Server', () => {
  afterEach(() => {
    document.cookie = '_xsrf=; max-age=0';
    vi.useRealTimers();
  });

  it('streams the steps and returns the result, wherever the pieces are cut', async () => {
    const text = `${JSON.stringify({ progress: step })}\n{"beat": true}\n{"result": {"a": "ü"}}\n`;
    for (const cut of [1, 3, 57, 58, 70, text.length]) {
      const pieces = text.match(new RegExp(`[^]{1,${cut}}`, 'g')) ?? [];
      const steps: Progress[] = [];
      const result = await transport(() => Promise.resolve(streamed(...pieces))).call(
        'POST',
        '/x',
        {},
        (one) => steps.push(one),
      );
      expect(result).toEqual({ a: 'ü' });
      expect(steps).toEqual([step]);
    }
  });

  it('reports a step when it happens, not when all is over', async () => {
    const encoder = new TextEncoder();
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({ start: (one) => void (controller = one) });
    const steps: Progress[] = [];
    const result = transport(() => Promise.resolve(new Response(body))).call('POST', '/x', {}, (one) =>
      steps.push(one),
    );
    controller?.enqueue(encoder.encode(`${JSON.stringify({ progress: step })}\n`));
    await vi.waitFor(() => expect(steps).toHaveLength(1));
    controller?.enqueue(encoder.encode('{"result": null}'));
    controller?.close();
    expect(await result).toBeNull();
  });

  it('goes to the server of the page, with its XSRF token', async () => {
    document.cookie = '_xsrf=2|abc';
    const seen: { url: string; init: RequestInit }[] = [];
    const server = transport((url, init) => {
      seen.push({ url, init });
      return Promise.resolve(streamed('{"result": 1}\n'));
    }, 'secret');
    await server.call('POST', '/deployments/iris/scale', { workers: 2 });
    expect(seen[0]?.url).toBe(
      new URL('/user/ada/autodeploy/api/deployments/iris/scale', document.baseURI).href,
    );
    expect(seen[0]?.init).toMatchObject({
      method: 'POST',
      body: '{"workers":2}',
      credentials: 'same-origin',
    });
    expect(seen[0]?.init.headers).toMatchObject({ 'X-XSRFToken': '2|abc', Authorization: 'token secret' });
    expect(server.proxyUrl('iris')).toMatch(/\/user\/ada\/autodeploy\/proxy\/iris\/$/);
  });

  it('raises what Python raised', async () => {
    const { error } = golden();
    const failing = transport(() => Promise.resolve(streamed(JSON.stringify({ error }))));
    const thrown = DeployError.of(
      await failing.call('GET', '/deployments/iriss/view').catch((one: unknown) => one),
    );
    expect(thrown).toMatchObject({
      error: 'UnknownDeployment',
      what: error.what,
      why: error.why,
      fix: error.fix,
    });
  });

  it.each([
    ['the server is gone', () => Promise.reject(new TypeError('Failed to fetch')), 'cannot be reached'],
    [
      'the login has ended',
      () => Promise.resolve(new Response('{"message": "Forbidden"}', { status: 403 })),
      'refused',
    ],
    [
      'there is no extension',
      () => Promise.resolve(new Response('<html>', { status: 404 })),
      'does not know autodeploy',
    ],
    ['the server fails', () => Promise.resolve(new Response('', { status: 502 })), 'answered 502'],
    ['the answer ends early', () => Promise.resolve(streamed('{"beat": true}\n')), 'ended before its result'],
    ['something else answers', () => Promise.resolve(streamed('<html>login</html>')), 'cannot be read'],
  ])('says what happened and what to do where %s', async (_, fetching, what) => {
    const thrown: unknown = await transport(fetching)
      .call('GET', '/glances')
      .catch((one: unknown) => one);
    expect(thrown).toBeInstanceOf(DeployError);
    expect((thrown as DeployError).what).toContain(what);
    expect((thrown as DeployError).fix).not.toBe('');
  });

  it('gives up a server that is silent, and waits for one that beats', async () => {
    vi.useFakeTimers();
    const encoder = new TextEncoder();
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({ start: (one) => void (controller = one) });
    const server = transport((_, init) => {
      init.signal?.addEventListener('abort', () =>
        controller?.error(new DOMException('aborted', 'AbortError')),
      );
      return Promise.resolve(new Response(body));
    });
    const ended = vi.fn();
    const call = server.call('POST', '/x', {}).catch((one: unknown) => {
      ended();
      return one;
    });
    for (let i = 0; i < 5; i += 1) {
      await vi.advanceTimersByTimeAsync(12_000);
      controller?.enqueue(encoder.encode('{"beat": true}\n'));
    }
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(21_000);
    expect((await call) as DeployError).toMatchObject({ error: 'Unreachable' });
  });
});

describe('finding the server of a page', () => {
  beforeEach(() => {
    document.body.innerHTML = '';
  });

  it('finds none where the page is not of a Jupyter Server, or has no extension of ours', async () => {
    expect(await findServer()).toBeNull();
    document.body.innerHTML =
      '<script id="jupyter-config-data" type="application/json">{"baseUrl": "/lab/"}</script>';
    vi.stubGlobal('fetch', () => Promise.resolve(new Response('', { status: 404 })));
    expect(await findServer()).toBeNull();
    vi.unstubAllGlobals();
  });

  it('asks for hello below the base URL, and asks once', async () => {
    document.body.innerHTML =
      '<script id="jupyter-config-data" type="application/json">{"baseUrl": "/lab/", "serverRoot": "~/work/"}</script>';
    vi.stubGlobal('WebSocket', vi.fn());
    const fetching = vi.fn<(url: string) => Promise<Response>>(() =>
      Promise.resolve(streamed('{"result": {"release": "0.1.0", "supervisor": false}}\n')),
    );
    vi.stubGlobal('fetch', fetching);
    const server = await findServer();
    expect(server?.baseUrl).toMatch(/\/lab\/$/);
    expect(server?.root).toBe('~/work');
    expect(await findServer()).toBe(server);
    expect(fetching).toHaveBeenCalledTimes(1);
    expect(fetching.mock.calls[0]?.[0]).toMatch(/\/lab\/autodeploy\/api\/hello$/);
    vi.unstubAllGlobals();
  });
});

describe('texts', () => {
  it('fills the arguments in', () => {
    expect(plain('v%1 of %2: %1', 3, 'iris')).toBe('v3 of iris: 3');
    expect(plain('100 %')).toBe('100 %');
  });
});

describe('the filter of names', () => {
  it('tells that there is none of them at first, and stays quiet about changes of others', () => {
    const [hello, glances] = golden().messages;
    const filter = new NameFilter(['wine']);
    expect(filter.pass(hello ?? {})).toEqual(hello);
    expect(filter.pass(glances ?? {})).toEqual({ glances: [] });
    expect(filter.pass(glances ?? {})).toBeNull();
    expect(filter.pass({ beat: true })).toEqual({ beat: true });
    expect(filter.pass({ gone: ['iris', 'wine'] })).toEqual({ gone: ['wine'] });
    expect(new NameFilter(null).pass({ gone: ['iris'] })).toEqual({ gone: ['iris'] });
  });
});
