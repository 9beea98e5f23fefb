import axe from 'axe-core';
import { describe, expect, it } from 'vitest';

import { plain } from '../src/api/transport';
import type { Glance } from '../src/api/types';
import { deployCell } from '../src/deploy/cell';
import { DeployForm } from '../src/deploy/form';
import { readFound, shapeText, type Found } from '../src/deploy/found';
import { isName, nameProblem, proposeName } from '../src/deploy/name';
import { pageUrl } from '../src/lab/urls';

const FOUND: Found = {
  models: [
    { name: 'scaler', type: 'sklearn.preprocessing.StandardScaler', chosen: false },
    { name: 'clf', type: 'sklearn.linear_model.LogisticRegression', chosen: true },
  ],
  samples: [
    { name: 'raw', type: 'numpy.ndarray', shape: [30, 7], fits: ['scaler'] },
    { name: 'X_test', type: 'pandas.DataFrame', shape: [30, 4], fits: ['clf'] },
  ],
  loaded: true,
  names: ['iris'],
};

describe('the name', () => {
  it.each(['a', 'iris', 'churn-2', `a${'b'.repeat(39)}`])('may be %s', (name) => {
    expect(isName(name)).toBe(true);
    expect(nameProblem(name, plain)).toBe('');
  });

  it.each(['', 'Iris', '2nd', 'a_b', 'a-', '-a', 'a b', `a${'b'.repeat(40)}`, 'ä'])(
    'may not be %j',
    (name) => {
      expect(isName(name)).toBe(false);
      expect(nameProblem(name, plain)).not.toBe('');
    },
  );

  it('is proposed from what is there', () => {
    expect(proposeName('01_Quick Start.ipynb')).toBe('quick-start');
    expect(proposeName('IrisClassifier')).toBe('iris-classifier');
    expect(proposeName('2024.ipynb')).toBe('');
    expect(nameProblem('My Model', plain)).toContain('my-model would do');
    expect(isName(proposeName(`${'word '.repeat(20)}.ipynb`))).toBe(true);
  });
});

describe('the cell', () => {
  it('is what a person would write', () => {
    expect(deployCell({ name: 'iris', model: 'clf', sample: 'X_test', workers: null })).toBe(
      '%%deploy iris --model clf --sample X_test',
    );
    expect(deployCell({ name: 'iris', model: 'clf', sample: '', workers: 2 })).toBe(
      '%%deploy iris --model clf --workers 2',
    );
  });
});

describe('what the kernel answers', () => {
  it('is read from how Python shows a text', () => {
    const json = JSON.stringify({ ...FOUND, models: [{ name: 'm', type: `it's "a\\b"`, chosen: true }] });
    const shown = `'${json.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`;
    expect(readFound(shown).models).toEqual([{ name: 'm', type: `it's "a\\b"`, chosen: true }]);
    expect(readFound(JSON.stringify(FOUND))).toEqual(FOUND);
    expect(readFound(`'{"names": ["\\x61\\u200b", "\\n"]}'`.replace('\\n', '')).names).toEqual([
      'a\u200b',
      '',
    ]);
    expect(readFound("'{}'")).toEqual({ models: [], samples: [], loaded: false, names: [] });
    expect(() => readFound('<object>')).toThrow();
  });

  it('tells shapes', () => {
    expect(shapeText([30, 4])).toBe('30 × 4');
  });
});

describe('the form', () => {
  const make = (name: string): { form: DeployForm; valid: boolean[] } => {
    const valid: boolean[] = [];
    const form = new DeployForm({ found: FOUND, name, trans: plain, onChange: (good) => valid.push(good) });
    document.body.replaceChildren(form.node);
    return { form, valid };
  };
  const type = (selector: string, value: string): void => {
    const input = document.querySelector<HTMLInputElement>(selector);
    if (input === null) throw new Error(selector);
    input.value = value;
    input.dispatchEvent(new Event('input', { bubbles: true }));
  };

  it('begins with the model that would be taken, and shows the cell', () => {
    const { form } = make('penguins');
    expect(form.choice).toEqual({ name: 'penguins', model: 'clf', sample: 'X_test', workers: null });
    expect(form.node.querySelector('pre')?.textContent).toBe('%%deploy penguins --model clf --sample X_test');
    expect(form.node.textContent).toContain('A new deployment');
  });

  it('takes rows that fit the model', () => {
    const { form } = make('penguins');
    const model = document.querySelector('select');
    if (model === null) throw new Error('no choice of a model');
    model.value = 'scaler';
    model.dispatchEvent(new Event('change', { bubbles: true }));
    expect(form.choice?.sample).toBe('raw');
  });

  it('says where a name makes a next version, and what is wrong with one', () => {
    const { form, valid } = make('penguins');
    type('input[type=text]', 'iris');
    expect(form.node.textContent).toContain('next version');
    type('input[type=text]', 'Iris 2');
    expect(form.choice).toBeNull();
    expect(form.node.textContent).toContain('iris-2 would do');
    expect(valid).toEqual([true, true, false]);
  });

  it('takes whole workers alone', () => {
    const { form } = make('penguins');
    type('input[type=number]', '3');
    expect(form.choice?.workers).toBe(3);
    type('input[type=number]', '0');
    expect(form.choice).toBeNull();
  });

  it('has nothing that axe finds fault with', async () => {
    HTMLCanvasElement.prototype.getContext = () => null; // jsdom has none, and says so each time
    const { form } = make('penguins');
    const rules = { 'color-contrast': { enabled: false }, region: { enabled: false } };
    expect((await axe.run(form.node, { rules })).violations.map((violation) => violation.id)).toEqual([]);
  });
});

describe('the page of a deployment', () => {
  const glance = { status: { name: 'iris', url: 'http://127.0.0.1:3131' }, local: true } as Glance;
  const proxy = 'https://hub/user/me/autodeploy/proxy/iris/';

  it.each(['localhost', '127.0.0.1', '[::1]'])('is opened directly from %s', (host) => {
    expect(pageUrl(glance, proxy, host)).toBe('http://127.0.0.1:3131/');
  });

  it('is opened through the server from another machine, unless all can reach it', () => {
    expect(pageUrl(glance, proxy, 'hub')).toBe(proxy);
    const open = { ...glance, status: { ...glance.status, url: 'https://models.lan:3131' }, local: false };
    expect(pageUrl(open, proxy, 'hub')).toBe('https://models.lan:3131/');
  });
});
