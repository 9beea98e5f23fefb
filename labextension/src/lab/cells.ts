// New cells of a notebook, below the active one.

import type { Cell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { DeployError, type Trans } from '../api/transport';

/** Put code cells below the active one and make the last of them active. Rejects with what to do where it cannot. */
export function insertBelow(panel: NotebookPanel, sources: readonly string[], trans: Trans): Cell[] {
  const notebook = panel.content;
  const model = notebook.model;
  if (model === null || model.readOnly)
    throw new DeployError({
      error: 'ReadOnly',
      what: trans('%1 cannot be written to', panel.title.label),
      why: trans('a cell belongs into the notebook'),
      fix: trans('save the notebook under another name, and try again there'),
    });
  const active = notebook.activeCell;
  const unused = active?.model.type === 'code' && active.model.sharedModel.getSource().trim() === '';
  const at = Math.max(0, notebook.activeCellIndex + 1);
  model.sharedModel.transact(() => {
    model.sharedModel.insertCells(
      at,
      sources.map((source) => ({ cell_type: 'code', source, metadata: { trusted: true } })),
    );
    if (unused) model.sharedModel.deleteCell(at - 1); // the empty cell that the person was in
  });
  const first = unused ? at - 1 : at;
  notebook.mode = 'command';
  notebook.activeCellIndex = first + sources.length - 1;
  notebook.deselectAll();
  const cells = notebook.widgets.slice(first, first + sources.length);
  cells.at(-1)?.node.scrollIntoView({ block: 'nearest' });
  return cells;
}
