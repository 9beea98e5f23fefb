// Where a tab goes: among the documents in JupyterLab, below the one document of a page in Notebook 7.

import type { ILabShell, JupyterFrontEnd } from '@jupyterlab/application';
import { SplitPanel, type Widget } from '@lumino/widgets';

/** A panel below a notebook gets this share of the page, where it would have less. */
const BELOW = 0.6;

export function place(tab: Widget, app: JupyterFrontEnd, labShell: ILabShell | null): void {
  if (!tab.isAttached) {
    if (labShell === null) tab.title.icon = undefined; // Notebook 7 gives it no size there
    app.shell.add(tab, labShell === null ? 'down' : 'main');
  }
  app.shell.activateById(tab.id);
  if (labShell === null) requestAnimationFrame(() => giveRoom(tab));
}

function giveRoom(tab: Widget): void {
  let above: Widget | null = tab.parent;
  while (above !== null && !(above instanceof SplitPanel && above.orientation === 'vertical'))
    above = above.parent;
  const sizes = above instanceof SplitPanel ? above.relativeSizes() : [];
  if (above instanceof SplitPanel && sizes.length === 2 && (sizes[1] ?? 1) < BELOW / 2)
    above.setRelativeSizes([1 - BELOW, BELOW]);
}
