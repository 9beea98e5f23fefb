"""Requests: from a container to JSON, and from JSON to arrays that fit the signature.

A request's `inputs` may be, for a table, a list of records, a list of rows in the order of the columns, or an object of
columns; for an array or a list, a list of its rows; for named arrays, an object of them. What does not fit is refused
with the field named: `inputs[3].age`, `inputs[0][2]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import BodyTooLarge, InvalidInputs
from autodeploy_magic.wire.answers import to_plain

__all__ = ["Batch", "decode", "to_container", "to_request"]

Array = NDArray[Any]


class Batch:
    """Decoded rows: one array for each column of the signature, `rows` long.

    `matrix` is the same numbers as one 2-D array where all columns are alike and came as rows; else None.
    """

    __slots__ = ("columns", "matrix", "rows", "signature")

    def __init__(self, signature: Signature, rows: int, columns: dict[str, Array], matrix: Array | None = None) -> None:
        self.signature = signature
        self.rows = rows
        self.columns = columns
        self.matrix = matrix


def to_request(container: Any) -> Any:
    """Return what a request would send for `container`: a DataFrame as records, an array or a list as rows, a dict of
    columns as an object of lists. Missing values become null, dates ISO 8601.
    """
    if isinstance(container, Mapping):
        return {str(name): to_plain(values) for name, values in container.items()}
    return to_plain(container)


def decode(signature: Signature, inputs: Any, *, max_rows: int | None = None) -> Batch:
    """Check `inputs` against the signature and return its rows as arrays of the signature's dtypes.

    Raises `InvalidInputs` naming the field, or `BodyTooLarge` where there are more than `max_rows` rows.
    """
    table = signature.container == "dataframe" or (signature.container == "dict" and isinstance(inputs, list))
    rows = _count(signature, inputs)
    if rows == 0:
        raise InvalidInputs("inputs is empty", fix="send at least one row", field="inputs")
    if max_rows is not None and rows > max_rows:
        raise BodyTooLarge(
            f"the request has {rows} rows; this deployment takes {max_rows} in one request",
            fix=f"send the rows in parts of at most {max_rows}",
            field="inputs",
        )
    if table and isinstance(inputs, list):
        return _from_rows(signature, inputs)
    if signature.container in ("dataframe", "dict"):
        return _from_columns(signature, inputs, rows)
    column = signature.columns[0]
    return Batch(signature, rows, {column.name: _array(column, inputs, "inputs", by_row=True)})


def to_container(batch: Batch) -> Any:
    """Return the rows in the container that the person's sample came in."""
    kind = batch.signature.container
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
                raise InvalidInputs(
                    f"inputs.{name} is {_kind(inputs[name])}, not a list of values",
                    fix='send a list of records: {"inputs": [{…}]}, or an object of lists',
                    field=f"inputs.{name}",
                )
        if len(set(lengths.values())) > 1:
            raise InvalidInputs(
                "the columns of inputs have different lengths",
                why=", ".join(f"{name}: {length}" for name, length in lengths.items()),
                fix="send as many values in each column",
                field="inputs",
            )
        return next((length for length in lengths.values() if length is not None), 0)
    wanted = "a list of records" if signature.container == "dataframe" else "a list of rows"
    raise InvalidInputs(
        f"inputs is {_kind(inputs)}, not {wanted}", fix='send {"inputs": [row, row, …]}', field="inputs"
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
            return Batch(signature, len(rows), {name: matrix[:, i] for i, name in enumerate(names)}, matrix)
        lists = [list(values) for values in zip(*rows, strict=True)]
    else:
        _explain_records(signature, rows)
    columns = {
        column.name: _array(column, values, column.name)
        for column, values in zip(signature.columns, lists, strict=True)
    }
    return Batch(signature, len(rows), columns)


def _from_columns(signature: Signature, inputs: dict[str, Any], rows: int) -> Batch:
    names = {column.name for column in signature.columns}
    _check_names(names, set(inputs), "inputs")
    return Batch(
        signature, rows, {column.name: _array(column, inputs[column.name], column.name) for column in signature.columns}
    )


def _matrix(signature: Signature, rows: list[Any]) -> Array | None:
    """All columns at once, where they are plain finite numbers of one dtype."""
    first = signature.columns[0]
    if first.dtype not in ("float64", "float32") or any(c.dtype != first.dtype or c.shape for c in signature.columns):
        return None
    try:
        found = np.array(rows)
    except ValueError:
        return None
    if found.dtype.kind not in "iuf" or found.ndim != 2:
        return None
    matrix = found.astype(first.dtype, copy=False)
    return matrix if np.isfinite(matrix).all() else None


def _array(column: Column, values: list[Any], name: str, *, by_row: bool = False) -> Array:
    """One column as an array of its dtype, shape (rows, *column.shape).

    `by_row` says that the values are the rows themselves, so that a field reads `inputs[3][1]`, not `inputs[3].name`.
    """
    path = _Path(name, by_row)
    kind = _kind_of(column)
    if kind == "number":
        return _numbers(column, values, path)
    if kind == "extension":
        return _objects(column, values, path)
    if column.shape:
        _check_shape(column, values, path)
        found = np.array(values, dtype=object)
        flat = [_scalar(kind, column, value, path, i) for i, value in enumerate(found.reshape(-1).tolist())]
        return _typed(kind, flat).reshape(found.shape)
    return _typed(kind, [_scalar(kind, column, value, path, i) for i, value in enumerate(values)])


class _Path:
    """How a value of a column is called in an error."""

    __slots__ = ("by_row", "name")

    def __init__(self, name: str, by_row: bool) -> None:
        self.name = name
        self.by_row = by_row

    def at(self, index: Sequence[int]) -> str:
        if self.by_row:
            return "inputs" + "".join(f"[{i}]" for i in index)
        return f"inputs[{index[0]}].{self.name}" + "".join(f"[{i}]" for i in index[1:])


def _kind_of(column: Column) -> str:
    dtype = column.dtype
    if dtype in ("str", "object"):
        return "text" if dtype == "str" else "any"
    if dtype == "bool":
        return "bool"
    if dtype[:1].isupper():
        return "extension"
    if dtype.startswith(("datetime64", "timedelta64")):
        return "time"
    return "number"


def _numbers(column: Column, values: list[Any], path: _Path) -> Array:
    dtype = np.dtype(column.dtype)
    try:
        found = np.array(values)
    except (ValueError, OverflowError):
        _check_shape(column, values, path)
        raise InvalidInputs(f"{path.name} holds values that are not numbers", field="inputs") from None
    expected = 1 + len(column.shape)
    fits = found.ndim == expected and all(
        size in (-1, given) for size, given in zip(column.shape, found.shape[1:], strict=True)
    )
    if not fits or found.dtype.kind not in "iuf":
        _check_shape(column, values, path)
        found = _with_missing(column, values, path)
    if dtype.kind in "iu":
        return _integers(dtype, found, path)
    with np.errstate(over="ignore"):
        result = found.astype(dtype, copy=False)
    if not column.nullable or np.isinf(result).any():
        bad = np.isinf(result) if column.nullable else ~np.isfinite(result)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            _refuse_value(path.at(index), f"is too large for {column.dtype}", "send a finite number")
    return result


def _with_missing(column: Column, values: list[Any], path: _Path) -> Array:
    """Numbers among which there may be nulls, or things that are no numbers."""
    shaped = np.array(values, dtype=object)
    flat = np.empty(shaped.size, dtype=np.float64)
    for i, value in enumerate(shaped.reshape(-1).tolist()):
        if type(value) in (int, float, bool):
            try:
                flat[i] = value
            except OverflowError:
                index = tuple(int(j) for j in np.unravel_index(i, shaped.shape))
                _refuse_value(path.at(index), f"is too large for {column.dtype}", "send a smaller number")
            continue
        index = tuple(int(j) for j in np.unravel_index(i, shaped.shape))
        if value is not None:
            _refuse_value(path.at(index), f"is {_kind(value)}, not a number", f"send a {column.dtype}")
        if not column.nullable:
            _refuse_missing(path.at(index))
        flat[i] = math.nan
    return flat.reshape(shaped.shape)


def _integers(dtype: np.dtype[Any], found: Array, path: _Path) -> Array:
    limits = np.iinfo(dtype)
    bad = (found < limits.min) | (found > limits.max)
    if found.dtype.kind == "f":
        bad |= found != np.floor(found)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        _refuse_value(
            path.at(index), f"is {found[index]}, not a whole number of {dtype}", f"send {limits.min} to {limits.max}"
        )
    return found.astype(dtype, copy=False)


def _scalar(kind: str, column: Column, value: Any, path: _Path, i: int) -> Any:
    if value is None:
        if not column.nullable:
            _refuse_missing(path.at((i,)))
        return None
    if kind == "any":
        return value
    if kind == "bool":
        if type(value) is not bool:
            _refuse_value(path.at((i,)), f"is {_kind(value)}, not true or false", "send true or false")
        return value
    if type(value) is not str:
        wanted = "a text" if kind == "text" else "a date in ISO 8601"
        _refuse_value(path.at((i,)), f"is {_kind(value)}, not {wanted}", f"send {wanted} in quotes")
    if kind == "time":
        try:
            return np.datetime64(value) if column.dtype.startswith("datetime") else _timedelta(value)
        except ValueError:
            _refuse_value(path.at((i,)), "is not a date in ISO 8601", "send for example 2026-01-31T12:00:00")
    if column.categories is not None and value not in column.categories:
        _refuse_value(
            path.at((i,)), "is not one of the categories", f"send one of: {', '.join(column.categories[:20])}"
        )
    return value


def _typed(kind: str, values: list[Any]) -> Array:
    if kind == "bool" and None not in values:
        return np.array(values, dtype=bool)
    if kind == "time":
        return np.array([np.datetime64("NaT") if v is None else v for v in values])
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def _objects(column: Column, values: list[Any], path: _Path) -> Array:
    """A column of a pandas extension dtype (Int64, boolean, string…), as objects with None for what is missing."""
    lower = column.dtype.lower()
    for i, value in enumerate(values):
        if value is None:
            if not column.nullable:
                _refuse_missing(path.at((i,)))
        elif lower.startswith("bool"):
            _scalar("bool", column, value, path, i)
        elif lower.startswith("string"):
            _scalar("text", column, value, path, i)
        elif type(value) not in (int, float) or ("int" in lower and value != int(value)):
            _refuse_value(path.at((i,)), f"is {_kind(value)}, not a {column.dtype}", f"send a {column.dtype}")
    return _typed("any", values)


def _frame(batch: Batch) -> Any:
    import pandas as pd

    data: dict[str, Any] = {}
    for column in batch.signature.columns:
        values: Any = batch.columns[column.name]
        if column.categories is not None:
            values = pd.Categorical([None if v is None else v for v in values], categories=list(column.categories))
        elif column.dtype == "str":
            values = pd.Series([math.nan if v is None else v for v in values.tolist()], dtype="str")
        elif column.dtype[:1].isupper():
            values = pd.array(values, dtype=column.dtype)
        elif column.dtype.startswith("datetime64["):
            dtype: Any = column.dtype
            values = pd.Series(values).astype(dtype)
        data[column.name] = values
    return pd.DataFrame(data)


def _timedelta(value: str) -> Any:
    import pandas as pd

    return pd.Timedelta(value).to_timedelta64()


# --- what was wrong, with the field named


def _check_shape(column: Column, values: Any, path: _Path) -> None:
    """Find the first value whose nesting is not the column's shape."""
    for i, row in enumerate(values):
        _check_row(column.shape, row, (i,), path)


def _check_row(shape: tuple[int, ...], value: Any, index: tuple[int, ...], path: _Path) -> None:
    if not shape:
        if isinstance(value, list | dict):
            _refuse_value(path.at(index), f"is {_kind(value)}, not a single value", "remove the brackets around it")
        return
    if not isinstance(value, list):
        hint = "wrap the row in brackets: [[…]]" if len(index) == 1 else "send a list"
        _refuse_value(path.at(index), f"is {_kind(value)}, not a list of {_size(shape[0])} values", hint)
    if shape[0] not in (-1, len(value)):
        _refuse_value(path.at(index), f"has {len(value)} values", f"send {shape[0]} values")
    for i, item in enumerate(value):
        _check_row(shape[1:], item, (*index, i), path)


def _explain_records(signature: Signature, rows: list[Any]) -> NoReturn:
    names = [column.name for column in signature.columns]
    for i, row in enumerate(rows):
        if isinstance(row, dict):
            _check_names(set(names), set(row), f"inputs[{i}]")
        elif not isinstance(row, list):
            _refuse_value(f"inputs[{i}]", f"is {_kind(row)}, not a record or a row", f"send the columns {names[:8]}")
        elif len(row) != len(names):
            _refuse_value(
                f"inputs[{i}]", f"has {len(row)} values", f"send {len(names)} values: {', '.join(names[:20])}"
            )
    raise InvalidInputs(
        "inputs mixes records and rows", fix="send all rows as objects, or all as lists", field="inputs"
    )


def _check_names(wanted: set[str], given: set[str], where: str) -> None:
    import difflib

    missing = sorted(wanted - given)
    unknown = sorted(given - wanted)
    if missing:
        close = difflib.get_close_matches(missing[0], unknown, 1)
        hint = (
            f"rename {close[0]!r} to {missing[0]!r}" if close else f"send the columns {', '.join(sorted(wanted)[:20])}"
        )
        _refuse_value(f"{where}.{missing[0]}", "is missing", hint)
    if unknown:
        _refuse_value(f"{where}.{unknown[0]}", "is not a column of this model", "leave it out")


def _refuse_missing(field: str) -> NoReturn:
    raise InvalidInputs(
        f"{field} is null",
        why="the sample that this model was deployed with has no missing value there",
        fix="send a value, or deploy again with a sample that has missing values in this column",
        field=field,
    )


def _refuse_value(field: str, problem: str, fix: str) -> NoReturn:
    raise InvalidInputs(f"{field} {problem}", fix=fix, field=field)


def _size(length: int) -> str:
    return "any number of" if length == -1 else str(length)


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)
