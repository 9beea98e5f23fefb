// What may name a deployment: the same rule as check_name in autodeploy_magic/store.py.

import type { Trans } from '../api/transport';

const NAME = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

/** What is wrong with a name, and one that would do; "" where nothing is. */
export function nameProblem(text: string, trans: Trans): string {
  if (isName(text)) return '';
  if (text === '') return trans('A deployment needs a name.');
  const proposal = proposeName(text);
  const rule = trans("1 to 40 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'");
  return proposal === ''
    ? trans('A name has %1.', rule)
    : trans('A name has %1: %2 would do.', rule, proposal);
}

/** A name made from any text, such as a notebook's file name; "" where nothing is left of it. */
export function proposeName(text: string): string {
  const kebab = text
    .replace(/\.ipynb$/, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[-0-9]+/, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  return isName(kebab) ? kebab : '';
}
