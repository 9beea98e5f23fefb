"""Several requests' rows as one batch, and the answers to it as each request's own.

Only batches of one signature are joined, and only where `shape_of` says the same of them: an array keeps its dtype and
the length of its rows then, so that a row is the same alone and in company.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from autodeploy_magic.wire.inputs import Batch
from autodeploy_magic.wire.libraries import from_library

__all__ = ["join", "part", "shape_of", "split"]


def shape_of(batch: Batch) -> Hashable:
    """What must be equal for batches to be joined: the dtype, and the shape of a row, of each column."""
    if batch.matrix is not None:
        return batch.matrix.dtype, batch.matrix.shape[1:]
    return tuple((values.dtype, values.shape[1:]) for values in batch.columns.values())


def join(batches: Sequence[Batch]) -> Batch:
    """The rows of `batches`, one after the other. They are of one signature and one `shape_of`."""
    first = batches[0]
    if len(batches) == 1:
        return first
    rows = sum([batch.rows for batch in batches])
    if first.matrix is not None:
        matrix = np.concatenate([batch.matrix for batch in batches if batch.matrix is not None])
        return Batch(first.signature, rows, None, matrix)
    return Batch(
        first.signature, rows, {name: np.concatenate([b.columns[name] for b in batches]) for name in first.columns}
    )


def part(batch: Batch, start: int, stop: int) -> Batch:
    """The rows from `start` to before `stop`, as views."""
    rows = min(stop, batch.rows) - start
    if batch.matrix is not None:
        return Batch(batch.signature, rows, None, batch.matrix[start:stop])
    return Batch(batch.signature, rows, {name: values[start:stop] for name, values in batch.columns.items()})


def split(outputs: dict[str, Any], rows: Sequence[int]) -> list[dict[str, Any]]:
    """Each request's part of the outputs of joined batches that had so many `rows`, as views of arrays.

    Raises `ValueError` where an output is not one item a row.
    """
    total = sum(rows)
    outputs = {name: from_library(values) if hasattr(values, "toarray") else values for name, values in outputs.items()}
    for name, values in outputs.items():
        if len(values) != total:
            raise ValueError(f"{name} has {len(values)} items for {total} rows")
    found = []
    start = 0
    for count in rows:
        stop = start + count
        found.append({name: values[start:stop] for name, values in outputs.items()})
        start = stop
    return found
