import { DeployError } from '../src/api/transport';
import type { Offer } from '../src/api/types';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { begin, button, choice, copied, find, key, live, off, panel, text, transport, view } from './bench';
import { golden, settle } from './stand';

let offer: Offer;

beforeEach(() => {
  begin();
  ({ offer } = golden());
  transport.answer = (_, path) =>
    path.endsWith('/view')
      ? structuredClone(view)
      : path.endsWith('/targets')
        ? structuredClone(offer)
        : undefined;
});
afterEach(() => {
  panel.dispose();
  expect(document.querySelector('.adm-panel')).toBeNull();
});

/** The dialog, open and answered. */
async function open(): Promise<void> {
  button('Ship…').click();
  await settle();
}

/** The field whose label begins so. */
function labelled(word: string): HTMLInputElement {
  const labels = [...panel.node.querySelectorAll<HTMLLabelElement>('.adm-dialog label')];
  const input = labels.find((one) => one.textContent.startsWith(word))?.control;
  if (!(input instanceof HTMLElement)) throw new Error(`no field is called ${word}`);
  return input as HTMLInputElement;
}

function type(word: string, value: string): void {
  const input = labelled(word);
  input.value = value;
  input.dispatchEvent(new Event(input.tagName === 'SELECT' ? 'change' : 'input'));
}

describe('Ship…', () => {
  it('offers the places that the supervisor tells, each with its options', async () => {
    await live();
    await open();
    const place = choice('.adm-dialog select');
    expect(document.activeElement).toBe(place);
    expect([...place.options].map((one) => one.value)).toEqual(['compose', 'ci', 'ray']);
    expect(text('.adm-dialog')).toContain('A docker-compose.yaml with the image');
    expect(text('.adm-dialog')).toContain('Cannot be used: moon (moonship:Moon): ImportError: no rocket');
    expect(labelled('Image').value).toBe('iris:v4');
    expect(labelled('Folder').placeholder).toBe('~/iris-compose');
    expect(labelled('port').placeholder).toBe('3000');
    expect(labelled('alertmanager').type).toBe('checkbox');
    expect([...labelled('storage').querySelectorAll('option')].map((one) => one.value)).toEqual([
      'disk',
      'memory',
    ]);
    expect(find('.adm-dialog details').hasAttribute('open')).toBe(false);
    for (const input of panel.node.querySelectorAll('.adm-dialog-body :is(input, select)')) {
      const about = input.getAttribute('aria-describedby');
      if (about !== null) expect(panel.node.querySelector(`[id="${about}"]`)?.textContent).not.toBe('');
      const named = panel.node.querySelector(`label[for="${input.id}"]`) ?? input.closest('label');
      expect(named, input.outerHTML).not.toBeNull();
    }
  });

  it('sends what was changed and nothing else, and tells where the files are', async () => {
    await live();
    await open();
    button('Write the files').click();
    const order = { target: 'compose', folder: '~/iris-compose', image: '', options: {}, replace: false };
    expect(transport.last('/ship').body).toEqual(order);
    expect(off('Write the files')).toBe(true);
    const job = transport.last('/ship');
    job.onProgress?.({ step: 'ship', state: 'started', seconds: 0, detail: 'compose' });
    await settle();
    expect(panel.node.querySelector('.adm-dialog')).toBeNull();
    expect(text('.adm-jobs')).toContain('Ship to compose');
    expect(button('Ship…').getAttribute('aria-busy')).toBe('true');
    job.resolve(golden().shipped);
    await settle();
    const told = text('.adm-notices');
    expect(told).toContain('v4 for compose is written: 3 files on the machine that serves.');
    expect(told).toContain('Read README.md first');
    expect(told).toContain('iris:v4 is on this machine alone');
    expect(text('.adm-notices code')).toBe('/home/ada/iris-compose');
    find('.adm-notices .adm-row .adm-button').click();
    await settle();
    expect(copied).toEqual(['/home/ada/iris-compose']);
  });

  it('keeps what was typed where it is refused, and says why at the field', async () => {
    Object.assign(transport, { root: '/lab/files' });
    await live();
    await open();
    type('port', '70000');
    type('storage', 'memory');
    type('Image', 'registry.example.com/iris:v4');
    labelled('alertmanager').click();
    labelled('Replace').click();
    key(labelled('port'), 'Enter');
    expect(transport.last('/ship').body).toEqual({
      target: 'compose',
      folder: '/lab/files/iris-compose',
      image: 'registry.example.com/iris:v4',
      options: { port: '70000', storage: 'memory', alertmanager: 'yes' },
      replace: true,
    });
    transport.last('/ship').reject(
      new DeployError({
        error: 'InvalidOption',
        what: '70000 is no port',
        why: 'too much',
        fix: 'use 3000',
      }),
    );
    await settle();
    expect(labelled('port').closest('.adm-field')?.nextElementSibling).toBe(find('.adm-dialog [role=alert]'));
    expect(find('.adm-dialog [role=alert]').textContent).toBe('70000 is no port\ntoo much\n→ use 3000');
    expect(text('.adm-notices')).toBe('');
    expect(document.activeElement).toBe(labelled('port'));
    expect(labelled('port').getAttribute('aria-invalid')).toBe('true');
    expect(find('.adm-dialog details').hasAttribute('open')).toBe(true);
    expect(labelled('port').value).toBe('70000');
    expect(off('Write the files')).toBe(false);
    button('Cancel').click();
    await open();
    expect(labelled('port').value).toBe('70000');
    expect(labelled('alertmanager').checked).toBe(true);
    expect(labelled('Image').value).toBe('registry.example.com/iris:v4');
    expect(labelled('Replace').checked).toBe(false);
    type('port', '3000');
    labelled('alertmanager').click();
    button('Write the files').click();
    expect(transport.last('/ship').body).toMatchObject({ options: { storage: 'memory' } });
    transport.last('/ship').reject(
      new DeployError({
        error: 'InvalidOption',
        what: '/lab/files/iris-compose is there already',
        why: '',
        fix: '',
      }),
    );
    await settle();
    expect(document.activeElement).toBe(labelled('Folder'));
    expect(labelled('port').hasAttribute('aria-invalid')).toBe(false);
  });

  it('tells in the panel what fails after its first step, and forgets an image of another version', async () => {
    await live();
    await open();
    type('Image', 'registry.example.com/iris:v4');
    type('port', '81');
    button('Write the files').click();
    const job = transport.last('/ship');
    job.onProgress?.({ step: 'ship', state: 'started', seconds: 0, detail: '' });
    await settle();
    job.reject(new DeployError({ error: 'ShipFailed', what: 'the disk is full', why: '', fix: 'free some' }));
    await settle();
    expect(text('.adm-notices')).toContain('the disk is full');
    offer.version = 5;
    offer.image = '';
    await open();
    expect(labelled('port').value).toBe('81');
    expect(labelled('Image').value).toBe('');
    expect(off('Write the files')).toBe(true);
    expect(button('Write the files').title).toBe('An image is needed');
    type('Image', 'iris:v5');
    expect(off('Write the files')).toBe(false);
  });

  it('asks for what has to be given', async () => {
    await live();
    await open();
    type('Where to', 'ci');
    expect(labelled('system').closest('details')).toBeNull();
    expect(labelled('system').required).toBe(true);
    expect(text('.adm-dialog')).toContain('system required');
    expect(off('Write the files')).toBe(true);
    type('system', 'gitlab');
    button('Write the files').click();
    expect(transport.last('/ship').body).toMatchObject({ target: 'ci', options: { system: 'gitlab' } });
  });

  it('serves at once where a place does', async () => {
    await live();
    await open();
    type('Where to', 'ray');
    expect(() => labelled('Image')).toThrow();
    button('Ship it').click();
    expect(transport.last('/ship').body).toMatchObject({ target: 'ray', folder: '' });
    const done = { ...golden().shipped, target: 'ray', folder: '', url: 'http://10.0.0.9:8000/iris' };
    transport.last('/ship').resolve(done);
    await settle();
    expect(panel.node.querySelector('.adm-dialog')).toBeNull();
    expect(text('.adm-notices')).toContain('v4 serves from ray now');
    expect(text('.adm-notices code')).toBe('http://10.0.0.9:8000/iris');
  });

  it('says why there is nothing to choose from', async () => {
    await live();
    button('Ship…').click();
    expect(off('Write the files')).toBe(true);
    offer = golden().offer;
    await settle();
    button('Cancel').click();
    const before = transport.answer;
    transport.answer = (method, path, body) =>
      path.endsWith('/targets') ? undefined : before(method, path, body);
    button('Ship…').click();
    transport.last('/targets').reject(new DeployError(golden().error));
    await settle();
    expect(find('.adm-dialog [role=alert]').textContent).toContain(golden().error.what);
    expect(off('Write the files')).toBe(true);
  });
});
