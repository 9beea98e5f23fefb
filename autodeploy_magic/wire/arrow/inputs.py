"""A request's table → rows that fit the signature: what JSON with the same values would be, or the same refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.wire.answers import to_plain
from autodeploy_magic.wire.arrays import from_arrays
from autodeploy_magic.wire.arrow.columns import Reader, depth
from autodeploy_magic.wire.columns import Array, decode_column, kind_of
from autodeploy_magic.wire.fields import Path, refuse, short
from autodeploy_magic.wire.inputs import Batch, check_names, decode

__all__ = ["from_table"]

_INDEX = re.compile(r"__index_level_\d+__")


def from_table(signature: Signature, table: Any, *, max_bytes: int) -> Batch:
    """Check a `pyarrow.Table` against the signature and return its rows. Raises `InvalidInputs`, or `BodyTooLarge`.

    A table's columns are known by their names, in any order. Of an array or a list there is one column under any name,
    of lists where the rows have a shape; or, of a 2-D array, one column for each of its own, in order, whatever their
    names; or, of a list of records, one for each of their keys. `max_bytes` bounds what texts and objects come to.
    """
    names = _names(signature, table)
    reader = Reader(max_bytes)
    if signature.container in ("dataframe", "dict"):
        check_names({column.name for column in signature.columns}, set(names), "inputs")
        arrays = {
            column.name: _array(reader, column, table.column(names[column.name]), Path(column.name))
            for column in signature.columns
        }
        return from_arrays(signature, arrays, style="table")
    (column,) = signature.columns
    columns = {name: table.column(i) for name, i in names.items()}
    if len(columns) == 1:
        (only,) = columns.values()
        if depth(only.type) == len(column.shape) or column.dtype == "object":
            values = _array(reader, column, only, Path(column.name, "rows"))
            return from_arrays(signature, {column.name: values}, style="rows")
    arrays = {name: reader.array(values, Path(name)) for name, values in columns.items()}
    if column.dtype == "object" and not column.shape:
        keys = list(arrays)
        rows = zip(*(to_plain(values) for values in arrays.values()), strict=True)
        return decode(signature, [dict(zip(keys, row, strict=True)) for row in rows])
    return _side_by_side(signature, column, arrays)


def _array(reader: Reader, column: Column, given: Any, path: Path) -> Array:
    """The values of a column; bytes are a text's, but of a file what is in it."""
    found = reader.files(given) if kind_of(column) == "file" else None
    return reader.array(given, path) if found is None else found


def _names(signature: Signature, table: Any) -> dict[str, int]:
    """The places of the table's columns, without the index of a frame that pandas wrote with it."""
    wanted = {column.name for column in signature.columns} if signature.container in ("dataframe", "dict") else set()
    index = _index_columns(table.schema.metadata)
    found: dict[str, int] = {}
    for i, name in enumerate(table.column_names):
        if name not in wanted and (name in index or _INDEX.fullmatch(name)):
            continue
        if name in found:
            refuse(short(f"inputs.{name}"), "stands twice", "send each column once")
        found[name] = i
    if not found:
        refuse("inputs", "has no columns", "send the columns of the model's inputs")
    return found


def _index_columns(metadata: Mapping[bytes, bytes] | None) -> set[str]:
    """The columns that pandas made of a frame's index, as its notes in the schema say."""
    try:
        notes = msgspec.json.decode((metadata or {}).get(b"pandas", b"{}"))
        return {name for name in notes["index_columns"] if isinstance(name, str)}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return set()


def _side_by_side(signature: Signature, column: Column, arrays: Mapping[str, Array]) -> Batch:
    """The rows of a 2-D array, one value from each column."""
    if len(column.shape) != 1 or column.shape[0] not in (-1, len(arrays)):
        shape = ", ".join("any" if size == -1 else str(size) for size in column.shape)
        refuse(
            "inputs",
            f"has {len(arrays)} columns of single values",
            f"send one column of lists, of the shape [{shape}]" if column.shape else "send one column",
        )
    parts = list(arrays.values())
    if all(part.ndim == 1 and part.dtype.kind in "iuf" and part.dtype == parts[0].dtype for part in parts):
        return from_arrays(signature, {column.name: np.column_stack(parts)}, style="rows")
    rows = [list(row) for row in zip(*(to_plain(part) for part in parts), strict=True)]
    return Batch(signature, len(rows), {column.name: decode_column(column, rows, Path(column.name, "rows"))})
