"""One column of a request: the values of its rows as an array of its dtype, or the first value that does not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column
from autodeploy_magic.errors import InvalidInputs

__all__ = ["Array", "decode_column", "describe_kind", "flat", "kind_of", "refuse"]

Array = NDArray[Any]


def decode_column(column: Column, values: list[Any], *, by_row: bool = False) -> Array:
    """One column as an array of its dtype, shape (rows, *column.shape).

    `by_row` says that the values are the rows themselves, so that a field reads `inputs[3][1]`, not `inputs[3].name`.
    """
    path = _Path(column.name, by_row)
    kind = kind_of(column)
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


def flat(column: Column) -> Column:
    """The same column with one value a row, to check the values of an array one by one."""
    return msgspec.structs.replace(column, shape=())


def kind_of(column: Column) -> str:
    """What the values of a column are: "number", "bool", "text", "time", "extension" (of pandas), or "any"."""
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
            refuse(path.at(index), f"is too large for {column.dtype}", "send a finite number")
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
                refuse(path.at(index), f"is too large for {column.dtype}", "send a smaller number")
            continue
        index = tuple(int(j) for j in np.unravel_index(i, shaped.shape))
        if value is not None:
            refuse(path.at(index), f"is {describe_kind(value)}, not a number", f"send a {column.dtype}")
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
        refuse(
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
            refuse(path.at((i,)), f"is {describe_kind(value)}, not true or false", "send true or false")
        return value
    if type(value) is not str:
        wanted = "a text" if kind == "text" else "a date in ISO 8601"
        refuse(path.at((i,)), f"is {describe_kind(value)}, not {wanted}", f"send {wanted} in quotes")
    if kind == "time":
        try:
            return np.datetime64(value) if column.dtype.startswith("datetime") else _timedelta(value)
        except ValueError:
            refuse(path.at((i,)), "is not a date in ISO 8601", "send for example 2026-01-31T12:00:00")
    if column.known is not None and value not in column.known:
        refuse(path.at((i,)), "is a text that the model does not know", f"send one of: {', '.join(column.known[:20])}")
    if column.categories is not None and value not in column.categories:
        refuse(path.at((i,)), "is not one of the categories", f"send one of: {', '.join(column.categories[:20])}")
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
            refuse(path.at((i,)), f"is {describe_kind(value)}, not a {column.dtype}", f"send a {column.dtype}")
    return _typed("any", values)


def _timedelta(value: str) -> Any:
    import pandas as pd

    return pd.Timedelta(value).to_timedelta64()


def _check_shape(column: Column, values: Any, path: _Path) -> None:
    """Find the first value whose nesting is not the column's shape."""
    for i, row in enumerate(values):
        _check_row(column.shape, row, (i,), path)


def _check_row(shape: tuple[int, ...], value: Any, index: tuple[int, ...], path: _Path) -> None:
    if not shape:
        if isinstance(value, list | dict):
            refuse(path.at(index), f"is {describe_kind(value)}, not a single value", "remove the brackets around it")
        return
    if not isinstance(value, list):
        hint = "wrap the row in brackets: [[…]]" if len(index) == 1 else "send a list"
        refuse(path.at(index), f"is {describe_kind(value)}, not a list of {_size(shape[0])} values", hint)
    if shape[0] not in (-1, len(value)):
        refuse(path.at(index), f"has {len(value)} values", f"send {shape[0]} values")
    for i, item in enumerate(value):
        _check_row(shape[1:], item, (*index, i), path)


def _refuse_missing(field: str) -> NoReturn:
    raise InvalidInputs(
        f"{field} is null",
        why="the sample that this model was deployed with has no missing value there",
        fix="send a value, or deploy again with a sample that has missing values in this column",
        field=field,
    )


def refuse(field: str, problem: str, fix: str) -> NoReturn:
    """Raise the `InvalidInputs` that names a field, what is wrong with it, and what to send instead."""
    raise InvalidInputs(f"{field} {problem}", fix=fix, field=field)


def _size(length: int) -> str:
    return "any number of" if length == -1 else str(length)


def describe_kind(value: Any) -> str:
    """How a JSON value is called in an error: "a number", "null", "a list"."""
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)
