"""Requests: from a container to JSON, and from JSON to arrays that fit the signature.

A request's `inputs` may be, for a table, a list of records, a list of rows in the order of the columns, or an object of
columns; for an array or a list, a list of its rows; for named arrays, an object of them. What does not fit is refused
with the field named: `inputs[3].age`, `inputs[0][2]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire.answers import to_plain
from autodeploy_magic.wire.columns import Array, decode_column
from autodeploy_magic.wire.fields import SHOWN, Path, check_rows, describe_kind, refuse, short
from autodeploy_magic.wire.libraries import from_library, to_library
from autodeploy_magic.wire.numbers import doubles
from autodeploy_magic.wire.pictures import load

__all__ = ["Batch", "check_names", "decode", "in_library", "to_container", "to_request"]


class Batch:
    """Decoded rows: one array for each column of the signature, `rows` long.

    `matrix` is the same numbers as one 2-D array where all columns are alike and came as rows; else None. With one, the
    columns may be left out: they are its views, made when they are asked for. `largest` is the largest absolute number
    in it, where somebody has looked: a model may hold less than the signature does.
    """

    __slots__ = ("_columns", "largest", "matrix", "rows", "signature")

    def __init__(
        self, signature: Signature, rows: int, columns: dict[str, Array] | None, matrix: Array | None = None
    ) -> None:
        self.signature = signature
        self.rows = rows
        self.matrix = matrix
        self.largest: float | None = None
        self._columns = columns

    @property
    def columns(self) -> dict[str, Array]:
        """The columns by name."""
        if self._columns is None:
            assert self.matrix is not None
            columns = self.signature.columns
            if columns[0].shape:  # an array, whose rows are the matrix's
                self._columns = {columns[0].name: self.matrix}
            else:
                self._columns = {column.name: self.matrix[:, i] for i, column in enumerate(columns)}
        return self._columns


def to_request(container: Any) -> Any:
    """Return what a request would send for `container`: a DataFrame as records, an array or a list as rows, a dict of
    columns as an object of lists. Missing values become null, dates ISO 8601.
    """
    container = from_library(container)
    if isinstance(container, Mapping):
        return {str(name): to_plain(values) for name, values in container.items()}
    return to_plain(container)


def decode(signature: Signature, inputs: Any, *, max_rows: int | None = None) -> Batch:
    """Check `inputs` against the signature and return its rows as arrays of the signature's dtypes.

    Raises `InvalidInputs` naming the field, or `BodyTooLarge` where there are more than `max_rows` rows.
    """
    table = signature.container == "dataframe" or (signature.container == "dict" and isinstance(inputs, list))
    rows = _count(signature, inputs)
    check_rows(rows, max_rows)
    if table and isinstance(inputs, list):
        return _from_rows(signature, inputs)
    if signature.container in ("dataframe", "dict"):
        return _from_columns(signature, inputs, rows)
    column = signature.columns[0]
    return Batch(signature, rows, {column.name: decode_column(column, inputs, Path(column.name, "rows"))})


def to_container(batch: Batch) -> Any:
    """Return the rows in the container that the person's sample came in."""
    return in_library(batch.signature, _container(batch))


def in_library(signature: Signature, container: Any) -> Any:
    """Rows as the model takes them: in its own library's containers, where it takes others than numpy's and pandas'."""
    return to_library(signature.library, container) if signature.library else container


def _container(batch: Batch) -> Any:
    kind = batch.signature.container
    for column in batch.signature.columns:
        if column.dtype == "image":
            load(batch.columns[column.name], Path(column.name, "rows" if kind == "list" else "table"))
    if kind == "dataframe":
        return _frame(batch)
    if kind == "dict":
        return batch.columns
    (values,) = batch.columns.values()
    return values.tolist() if kind == "list" else values


def _count(signature: Signature, inputs: Any) -> int:
    if isinstance(inputs, list):
        return len(inputs)
    if isinstance(inputs, dict) and signature.container in ("dataframe", "dict"):
        lengths = {name: len(values) if isinstance(values, list) else None for name, values in inputs.items()}
        for name, length in lengths.items():
            if length is None:
                refuse(
                    short(f"inputs.{name}"),
                    f"is {describe_kind(inputs[name])}, not a list of values",
                    'send a list of records: {"inputs": [{…}]}, or an object of lists',
                )
        if len(set(lengths.values())) > 1:
            raise InvalidInputs(
                "the columns of inputs have different lengths",
                why=", ".join(f"{short(name)}: {length}" for name, length in list(lengths.items())[:SHOWN]),
                fix="send as many values in each column",
                field="inputs",
            )
        return next((length for length in lengths.values() if length is not None), 0)
    wanted = "a list of records" if signature.container == "dataframe" else "a list of rows"
    raise InvalidInputs(
        f"inputs is {describe_kind(inputs)}, not {wanted}", fix='send {"inputs": [row, row, …]}', field="inputs"
    )


def _from_rows(signature: Signature, rows: list[Any]) -> Batch:
    names = [column.name for column in signature.columns]
    width = len(names)
    if all(type(row) is dict and len(row) == width for row in rows):
        try:
            lists = [[row[name] for row in rows] for name in names]
        except KeyError:
            _explain_records(signature, rows)
    elif all(type(row) is list and len(row) == width for row in rows):
        matrix = _matrix(signature, rows)
        if matrix is not None:
            return Batch(signature, len(rows), None, matrix)
        lists = [list(values) for values in zip(*rows, strict=True)]
    else:
        _explain_records(signature, rows)
    columns = {
        column.name: decode_column(column, values, Path(column.name))
        for column, values in zip(signature.columns, lists, strict=True)
    }
    return Batch(signature, len(rows), columns)


def _from_columns(signature: Signature, inputs: dict[str, Any], rows: int) -> Batch:
    names = {column.name for column in signature.columns}
    check_names(names, set(inputs), "inputs")
    columns = {
        column.name: decode_column(column, inputs[column.name], Path(column.name)) for column in signature.columns
    }
    return Batch(signature, rows, columns)


def _matrix(signature: Signature, rows: list[Any]) -> Array | None:
    """All columns at once, where they are plain finite numbers of one dtype."""
    first = signature.columns[0]
    if first.dtype not in ("float64", "float32") or any(c.dtype != first.dtype or c.shape for c in signature.columns):
        return None
    try:
        found = doubles(rows[0] if len(rows) == 1 else list(chain.from_iterable(rows)))
    except (TypeError, OverflowError):
        return None
    with np.errstate(over="ignore"):
        matrix = found.reshape(len(rows), -1).astype(first.dtype, copy=False)
    return matrix if np.isfinite(matrix).all() else None


def _frame(batch: Batch) -> Any:
    import pandas as pd

    data: dict[str, Any] = {}
    for column in batch.signature.columns:
        values: Any = batch.columns[column.name]
        if column.categories is not None:
            values = pd.Categorical([None if v is None else v for v in values], categories=list(column.categories))
        elif column.dtype == "str":
            values = pd.Series([math.nan if v is None else v for v in values.tolist()], dtype="str")
        elif column.dtype == "boolean" or column.dtype[:1].isupper():
            extension: Any = column.dtype
            values = pd.array(values, dtype=extension)
        elif column.dtype.startswith("datetime64["):
            dtype: Any = column.dtype
            values = pd.Series(values).astype(dtype)
        data[column.name] = values
    frame = pd.DataFrame(data)
    if any(column.label is not None for column in batch.signature.columns):
        frame.columns = pd.Index([c.name if c.label is None else c.label for c in batch.signature.columns])
    return frame


def _explain_records(signature: Signature, rows: list[Any]) -> NoReturn:
    names = [column.name for column in signature.columns]
    for i, row in enumerate(rows):
        if isinstance(row, dict):
            check_names(set(names), set(row), f"inputs[{i}]")
        elif not isinstance(row, list):
            refuse(f"inputs[{i}]", f"is {describe_kind(row)}, not a record or a row", f"send the columns {names[:8]}")
        elif len(row) != len(names):
            refuse(f"inputs[{i}]", f"has {len(row)} values", f"send {len(names)} values: {', '.join(names[:20])}")
    raise InvalidInputs(
        "inputs mixes records and rows", fix="send all rows as objects, or all as lists", field="inputs"
    )


def check_names(wanted: set[str], given: set[str], where: str) -> None:
    """Raise `InvalidInputs` for the first name that is missing or not wanted; `where` is what has the names."""
    import difflib

    missing = sorted(wanted - given)
    unknown = sorted(given - wanted)
    if missing:
        # Looking for likenesses takes as long as there are names, and a client may send any number of any length.
        close = difflib.get_close_matches(missing[0], [name for name in unknown[:SHOWN] if len(name) <= SHOWN], 1)
        hint = (
            f"rename {close[0]!r} to {missing[0]!r}" if close else f"send the columns {', '.join(sorted(wanted)[:20])}"
        )
        refuse(f"{where}.{missing[0]}", "is missing", hint)
    if unknown:
        refuse(short(f"{where}.{unknown[0]}"), "is not a column of this model", "leave it out")
