// The versions that are kept, newest first, and the way back to one.

import type { VersionLine } from '../api/types';
import { h, setHidden } from './dom';
import { ageText, momentText, sizeText } from './format';
import { button, disable, type Context, type Part } from './part';
import { rollbackDialog } from './rollback';
import { formatText, roleTag } from './words';

const FEW = 4;

export class Versions implements Part {
  readonly node: HTMLElement;
  private readonly list = h('ol', { class: 'adm-versions' });
  private readonly all: HTMLButtonElement;
  private unfolded = false;
  private drawn = '';
  private buttons: HTMLButtonElement[] = [];

  constructor(private readonly context: Context) {
    const { trans } = context;
    this.all = h('button', {
      class: 'adm-link',
      attrs: { type: 'button', 'aria-expanded': 'false' },
      on: {
        click: () => {
          this.unfolded = !this.unfolded;
          this.drawn = '';
          this.update();
        },
      },
    });
    this.node = h(
      'section',
      { class: 'adm-version-list', attrs: { 'aria-label': trans('Versions') } },
      h(
        'div',
        { class: 'adm-row' },
        h('h2', { class: 'adm-title', text: trans('Versions') }),
        h('span', { class: 'adm-grow' }),
        this.all,
      ),
      this.list,
    );
  }

  update(): void {
    const { model, trans } = this.context;
    const versions = model.view?.versions ?? [];
    const now = model.store.now();
    const shown = this.unfolded ? versions : versions.slice(0, FEW);
    const key = JSON.stringify([shown, Math.floor(now / 60)]);
    if (key !== this.drawn) {
      this.drawn = key;
      this.buttons = [];
      const current = versions.find((version) => version.role === 'champion')?.number ?? 0;
      this.list.replaceChildren(...shown.map((version) => this.item(version, current, now)));
      this.all.textContent = this.unfolded ? trans('Show fewer') : trans('Show all %1', versions.length);
      this.all.setAttribute('aria-expanded', String(this.unfolded));
      setHidden(this.all, versions.length <= FEW);
    }
    for (const node of this.buttons) disable(node, model.able ? '' : trans('Nothing can be changed now'));
  }

  private item(version: VersionLine, current: number, now: number): HTMLElement {
    const { trans } = this.context;
    const serves = version.number === current;
    const word = version.number < current ? trans('Roll back') : trans('Promote');
    const go = serves
      ? null
      : button(word, () => rollbackDialog(this.context, version.number), { class: 'adm-small' });
    go?.setAttribute(
      'aria-label',
      version.number < current
        ? trans('Roll back to v%1', version.number)
        : trans('Promote v%1', version.number),
    );
    if (go !== null) this.buttons.push(go);
    const built = Date.parse(version.created_at) / 1000;
    const facts = [formatText(version.format)];
    if (!Number.isNaN(built)) facts.push(ageText(now - built));
    if (version.note !== '') facts.push(version.note);
    return h(
      'li',
      serves ? { class: 'adm-serves' } : {},
      h('span', { class: 'adm-number', text: `v${version.number}` }),
      h(
        'span',
        {
          class: 'adm-facts',
          title: [
            ...facts,
            sizeText(version.size_bytes),
            Number.isNaN(built) ? '' : trans('built %1', momentText(built, now)),
          ].join(' · '),
        },
        roleTag(version, this.context),
        version.trust === 'amber'
          ? h('span', {
              class: 'adm-warn',
              text: '! ',
              title: trans('A pickled model: loading it can run any code'),
              attrs: { role: 'img', 'aria-label': trans('pickled') },
            })
          : null,
        facts.join(' · '),
      ),
      go,
    );
  }
}
