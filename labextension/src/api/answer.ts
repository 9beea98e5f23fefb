// An answer of the supervisor: JSON lines, {"progress"} and {"beat"} until {"result"} or {"error"}.

import { DeployError } from './transport';
import type { ErrorPayload, Progress } from './types';

interface Line {
  progress?: Progress;
  beat?: boolean;
  result?: unknown;
  error?: ErrorPayload;
}

/** Read an answer to its result. `onLine` is called for each sign of life. Rejects with a `DeployError`. */
export async function readAnswer(
  response: Response,
  onProgress?: (step: Progress) => void,
  onLine?: () => void,
): Promise<unknown> {
  for await (const text of linesOf(response)) {
    onLine?.();
    const line = parse(text);
    if (line.progress !== undefined) onProgress?.(line.progress);
    if (line.error !== undefined) throw new DeployError(line.error);
    if ('result' in line) return line.result;
  }
  throw new DeployError({
    error: 'SupervisorFailed',
    what: 'the answer ended before its result',
    why: 'the supervisor or the Jupyter Server ended while it worked',
    fix: 'look at the state here, then try again',
  });
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  if (response.body === null) {
    yield* (await response.text()).split('\n').filter((line) => line.trim() !== '');
    return;
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      const lines = rest.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') yield line;
      if (done) break;
    }
    if (rest.trim() !== '') yield rest;
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

function parse(text: string): Line {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Not JSON: told below, as what is JSON and no object.
  }
  throw new DeployError({
    error: 'SupervisorFailed',
    what: `the answer cannot be read: ${text.slice(0, 120)}`,
    why: 'something between the page and the Jupyter Server answered in its place, or the releases differ',
    fix: 'reload the page; if it stays, update autodeploy_magic and restart the Jupyter Server',
  });
}
