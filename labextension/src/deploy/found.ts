// What a kernel says of its variables: found_json() in autodeploy_magic/notebook/found.py.

export interface FoundModel {
  name: string;
  type: string;
  /** Whether it is the one that a deploy cell would take by itself. */
  chosen: boolean;
}

export interface FoundSample {
  name: string;
  type: string;
  shape: number[];
  /** The models that take rows of this width. */
  fits: string[];
}

export interface Found {
  models: FoundModel[];
  samples: FoundSample[];
  /** Whether the magics are loaded in the kernel. */
  loaded: boolean;
  /** The deployments that there are. */
  names: string[];
}

export const QUESTION = "__import__('autodeploy_magic.notebook.found', fromlist=['found_json']).found_json()";

/** Read the answer, which comes as Python shows a text: in quotes, with backslashes. Throws where it is none. */
export function readFound(shown: string): Found {
  const quoted = /^(['"])([\s\S]*)\1$/.exec(shown.trim());
  const text = quoted === null ? shown : unescaped(quoted[2] ?? '');
  const value = JSON.parse(text) as Partial<Found> | null;
  return {
    models: value?.models ?? [],
    samples: value?.samples ?? [],
    loaded: value?.loaded ?? false,
    names: value?.names ?? [],
  };
}

const ESCAPE = /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|([\s\S]))/g;

function unescaped(text: string): string {
  return text.replace(ESCAPE, (_, x?: string, u?: string, long?: string, other?: string) => {
    const code = x ?? u ?? long;
    if (code !== undefined) return String.fromCodePoint(parseInt(code, 16));
    return { n: '\n', r: '\r', t: '\t' }[other ?? ''] ?? other ?? '';
  });
}

export function shapeText(shape: FoundSample['shape']): string {
  return shape.map(String).join(' × ');
}
