"""One column of a request: the values of its rows as an array of its dtype, or the first value that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire.fields import Path, describe_kind, place, refuse, refuse_missing
from autodeploy_magic.wire.numbers import read_numbers
from autodeploy_magic.wire.pictures import read_files
from autodeploy_magic.wire.times import read_times

__all__ = ["Array", "decode_column", "kind_of", "read_leaves"]

Array = NDArray[Any]
Kind = Literal["number", "bool", "text", "time", "extension", "file", "any"]


def decode_column(column: Column, values: list[Any], path: Path) -> Array:
    """One column as an array of its dtype, shape (rows, *column.shape). Raises `InvalidInputs`.

    Rows of a length that varies, the shape (-1,), of which one has another length, are an array of lists.
    """
    if column.shape == (-1,) and len({len(row) if type(row) is list else -1 for row in values}) > 1:
        return _lists(column, values, path)
    leaves, shape = _leaves(column, values, path)
    return read_leaves(column, leaves, shape, path)


def read_leaves(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    """The same from the single values, of which there are as many as `shape` holds."""
    kind = kind_of(column)
    if kind == "number":
        return read_numbers(column, leaves, shape, path)
    if kind == "time":
        return read_times(column, leaves, shape, path)
    if kind == "file":
        return read_files(column, leaves, shape, path)
    if kind == "extension":
        return _extension(column, leaves, shape, path)
    return _values(kind, column, leaves, shape, path)


def kind_of(column: Column) -> Kind:
    """What the values of a column are: "number", "bool", "text", "time", "extension" (of pandas), "file", or "any"."""
    dtype = column.dtype
    if dtype in ("image", "bytes"):
        return "file"
    if dtype in ("str", "object"):
        return "text" if dtype == "str" else "any"
    if dtype in ("bool", "boolean"):
        return "bool"
    if dtype[:1].isupper():
        return "extension"
    if dtype.startswith(("datetime64", "timedelta64")):
        return "time"
    return "number"


def _leaves(column: Column, values: list[Any], path: Path) -> tuple[list[Any], tuple[int, ...]]:
    """The single values of all rows, and the shape that they had; refuses rows that are not nested as the column is."""
    shape = [len(values)]
    for given in column.shape:
        size = given if given != -1 else len(values[0]) if values and type(values[0]) is list else 0
        for item in values:
            if type(item) is not list or len(item) != size:
                _explain_nesting(size, values, shape, path)
        shape.append(size)
        values = values[0] if len(values) == 1 else list(chain.from_iterable(values))
    return values, tuple(shape)


def _lists(column: Column, rows: list[Any], path: Path) -> Array:
    """Rows of different lengths, every value checked."""
    for i, row in enumerate(rows):
        if type(row) is not list:
            refuse(path.at((i,)), f"is {describe_kind(row)}, not a list of values", "wrap the row in brackets: [[…]]")
    leaves = list(chain.from_iterable(rows))
    try:
        read = read_leaves(column, leaves, (len(leaves),), path)
    except InvalidInputs:
        places = [(i, j) for i, row in enumerate(rows) for j in range(len(row))]
        read_leaves(column, leaves, (len(leaves),), path.of(places))  # which names the value by its row
        raise
    flat = list(read) if read.dtype.kind in "mM" else read.tolist()
    result = np.empty(len(rows), dtype=object)
    start = 0
    for i, row in enumerate(rows):
        result[i] = flat[start : start + len(row)]
        start += len(row)
    return result


def _explain_nesting(size: int, values: list[Any], shape: Sequence[int], path: Path) -> NoReturn:
    for i, item in enumerate(values):
        index = place(i, shape)
        if type(item) is not list:
            fix = "wrap the row in brackets: [[…]]" if len(shape) == 1 else "send a list"
            refuse(path.at(index), f"is {describe_kind(item)}, not a list of {size} values", fix)
        if len(item) != size:
            refuse(path.at(index), f"has {len(item)} values", f"send {size} values")
    raise AssertionError("every item has the size that it was found not to have")


def _values(kind: Kind, column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    """Texts, truths, or anything that JSON can say: as they are, None for what is missing."""
    wanted = {"text": str, "bool": bool}.get(kind)
    kinds = set(map(type, leaves))
    missing = type(None) in kinds
    if missing and not column.nullable:
        refuse_missing(path.at(place(leaves.index(None), shape)))
    if wanted is not None and not kinds <= {wanted, type(None)}:
        i, value = next((i, v) for i, v in enumerate(leaves) if v is not None and type(v) is not wanted)
        said, fix = ("a text", "send a text in quotes") if kind == "text" else ("true or false", "send true or false")
        refuse(path.at(place(i, shape)), f"is {describe_kind(value)}, not {said}", fix)
    if kind == "text":
        _check_texts(column, leaves, shape, path)
    if kind == "bool" and not missing:
        return np.array(leaves, dtype=bool).reshape(shape)
    return _objects(leaves, shape)


def _check_texts(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> None:
    for allowed, problem in (
        (column.known, "is a text that the model does not know"),
        (column.categories, "is not one of the categories"),
    ):
        if allowed is None:
            continue
        others = set(leaves).difference(allowed, (None,))
        if others:
            i = next(i for i, value in enumerate(leaves) if value in others)
            refuse(path.at(place(i, shape)), problem, f"send one of: {', '.join(allowed[:20])}")


def _extension(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    """A column of pandas' own Int64, UInt8, Float32…: as objects with None for what is missing."""
    present = [i for i, value in enumerate(leaves) if value is not None]
    if len(present) < len(leaves) and not column.nullable:
        refuse_missing(path.at(place(leaves.index(None), shape)))
    for i in present:
        if type(leaves[i]) not in (int, float):
            kind = describe_kind(leaves[i])
            refuse(path.at(place(i, shape)), f"is {kind}, not a {column.dtype}", f"send a {column.dtype}")
    plain = Column(name=column.name, dtype=column.dtype.lower())
    places = [place(i, shape) for i in present]
    numbers = read_numbers(plain, [leaves[i] for i in present], (len(present),), path.of(places))
    result = np.full(len(leaves), None, dtype=object)
    result[present] = numbers.tolist()
    return result.reshape(shape)


def _objects(leaves: list[Any], shape: Sequence[int]) -> Array:
    result = np.empty(len(leaves), dtype=object)
    result[:] = leaves
    return result.reshape(shape)
