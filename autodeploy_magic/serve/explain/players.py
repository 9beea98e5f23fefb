"""The columns of a table as players: each is present with the row's own value, or away with a background row's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire import Batch

__all__ = ["Masks", "Players", "is_table"]

Masks = NDArray[np.bool_]


def is_table(signature: Signature) -> bool:
    """Whether the rows of a model are made of columns, two at least."""
    try:
        Players(signature)
    except InvalidInputs:
        return False
    return True


class Players:
    """Takes batches of one signature apart into players, and puts mixtures of them together again.

    A table's column is a player, and so is each number of an array's row. Raises `InvalidInputs` for what is no table:
    pictures, lone texts, rows without a fixed length.
    """

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        columns = signature.columns
        self._is_matrix = signature.container in ("ndarray", "list") and len(columns[0].shape) == 1
        if self._is_matrix and columns[0].shape[0] > 0:
            self.names = tuple(f"x{i}" for i in range(columns[0].shape[0]))
        elif signature.container in ("dataframe", "dict") and all(column.shape == () for column in columns):
            self.names = tuple(column.name for column in columns)
        else:
            raise InvalidInputs(
                "only rows of a table can be explained",
                why="attributions are given to columns, and a row of this model is not made of columns",
                fix="deploy a model over a DataFrame or a 2-D array",
                field="inputs",
            )
        if len(self.names) < 2:
            raise InvalidInputs("a model of one column explains itself", fix="ask it for predictions", field="inputs")

    def take(self, batch: Batch, rows: Sequence[int]) -> list[NDArray[np.generic]]:
        """The values of some rows, one array for each player."""
        chosen = np.asarray(rows)
        if self._is_matrix:
            (values,) = batch.columns.values()
            return [values[chosen, i] for i in range(len(self.names))]
        return [batch.columns[name][chosen] for name in self.names]

    def mix(self, row: list[NDArray[np.generic]], others: list[NDArray[np.generic]], masks: Masks) -> Batch:
        """The row with each of `others` in place of what is away: for each of the masks, one row for each of them.

        `masks` has shape (coalitions, players), true where a player is present. The result's rows are those of the
        first mask, then those of the second, and so on.
        """
        count = len(others[0])
        mixed = []
        for i, (own, away) in enumerate(zip(row, others, strict=True)):
            present = np.repeat(masks[:, i], count)
            values = np.tile(away, len(masks))
            values[present] = own[0]
            mixed.append(values)
        rows = count * len(masks)
        if self._is_matrix:
            return Batch(self._signature, rows, {self._signature.columns[0].name: np.stack(mixed, axis=1)})
        return Batch(self._signature, rows, dict(zip(self.names, mixed, strict=True)))
