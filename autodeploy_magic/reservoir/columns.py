"""The inputs of a request, or of a sample, as values by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.reservoir.hidden import are_hidden

__all__ = ["TEXT", "columns_of"]

TEXT = "text"
"""What the one column is called whose rows are texts."""
_FILES = ("image", "bytes")


def columns_of(signature: Signature, inputs: Any) -> dict[str, Sequence[Any]]:
    """Values by column of what `POST /predict` takes as "inputs"; JSON values, None for a gap.

    A table's columns have their names. A 2-D array has "0", "1", … (`x[0]` in words that are shown); one of texts has
    "text". Columns whose values are no scalars (pictures, sequences, nested arrays) are left out, and so are those that
    were dropped or hashed when they were recorded. Inputs that do not have the signature's form, as another version's
    may not, have no columns.
    """
    if signature.container in ("ndarray", "list"):
        return _of_rows(signature.columns[0], inputs)
    if isinstance(inputs, list):
        inputs = _from_rows(signature, inputs)
    if not isinstance(inputs, Mapping):
        return {}
    found: dict[str, Sequence[Any]] = {}
    for column in signature.columns:
        values = inputs.get(column.name)
        if isinstance(values, Sequence) and not isinstance(values, str):
            found |= _of_column(column, values, column.name)
    return found


def _from_rows(signature: Signature, rows: list[Any]) -> dict[str, list[Any]]:
    """A table that came as records, or as rows in the order of its columns."""
    if all(isinstance(row, Mapping) for row in rows):
        return {column.name: [row.get(column.name) for row in rows] for column in signature.columns}
    if all(isinstance(row, Sequence) and len(row) == len(signature.columns) for row in rows):
        return {column.name: [row[i] for row in rows] for i, column in enumerate(signature.columns)}
    return {}


def _of_rows(column: Column, rows: Any) -> dict[str, Sequence[Any]]:
    """An array, or a list: its rows are scalars, or lists of as many of them as its one column is wide."""
    if not isinstance(rows, list):
        return {}
    if column.shape == ():
        return _of_column(column, rows, TEXT if column.dtype == "str" else "0")
    if len(column.shape) > 1 or column.shape[0] < 1 or column.dtype in _FILES:
        return {}
    (width,) = column.shape
    if not all(isinstance(row, Sequence) and len(row) == width for row in rows):
        return {}
    found = {str(i): [row[i] for row in rows] for i in range(width)}
    return {name: values for name, values in found.items() if _are_scalars(column, values) and not are_hidden(values)}


def _of_column(column: Column, values: Sequence[Any], name: str) -> dict[str, Sequence[Any]]:
    if column.shape != () or column.dtype in _FILES or not _are_scalars(column, values) or are_hidden(values):
        return {}
    return {name: values}


def _are_scalars(column: Column, values: Sequence[Any]) -> bool:
    """Whether no value is a list or an object; only a column of anything can have those."""
    return column.dtype != "object" or not any(isinstance(value, list | dict) for value in values)
