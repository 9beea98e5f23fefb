// Telling a person what happened, why, and what to do.

import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { DeployError, type Trans } from '../api/transport';
import { h } from '../panel/dom';

/** What happened, why and what to do, each on a line of its own. */
export function errorBody(thrown: unknown): Widget {
  const { what, why, fix } = DeployError.of(thrown);
  const lines = [h('p', { class: 'adm-Error-what' }, ...withCode(what))];
  if (why !== '') lines.push(h('p', {}, ...withCode(why)));
  if (fix !== '') lines.push(h('p', { class: 'adm-Error-fix' }, ...withCode(fix)));
  const body = new Widget();
  body.addClass('adm-theme');
  body.addClass('adm-Error');
  body.node.append(...lines);
  return body;
}

/** What stands between backticks, as code. */
function withCode(text: string): (string | HTMLElement)[] {
  return text.split('`').map((part, i) => (i % 2 === 1 ? h('code', {}, part) : part));
}

export async function showError(title: string, thrown: unknown, trans: Trans): Promise<void> {
  await showDialog({ title, body: errorBody(thrown), buttons: [Dialog.okButton({ label: trans('Close') })] });
}

/** A sentence or two, and one button that goes on. */
export async function confirm(
  title: string,
  text: string,
  label: string,
  trans: Trans,
  warn = false,
): Promise<boolean> {
  const make = warn ? Dialog.warnButton.bind(Dialog) : Dialog.okButton.bind(Dialog);
  const answer = await showDialog({
    title,
    body: text,
    buttons: [Dialog.cancelButton({ label: trans('Cancel') }), make({ label })],
    defaultButton: warn ? 0 : 1,
  });
  return answer.button.accept;
}

/** Do a job that takes a while: told as it goes, and as it ended. */
export async function told<T>(
  job: Promise<T>,
  words: { doing: string; done(result: T): string; failed: string },
  trans: Trans,
): Promise<T | null> {
  const id = Notification.emit(words.doing, 'in-progress', { autoClose: false });
  try {
    const result = await job;
    Notification.update({ id, message: words.done(result), type: 'success', autoClose: 5000 });
    return result;
  } catch (thrown) {
    Notification.dismiss(id);
    await showError(words.failed, thrown, trans);
    return null;
  }
}
