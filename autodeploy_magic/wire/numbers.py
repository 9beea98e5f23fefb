"""Columns of numbers: JSON's numbers, or an array of another dtype, as the column's dtype, and no value another one."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column
from autodeploy_magic.wire.fields import Path, describe_kind, first, place, refuse, refuse_missing

__all__ = ["doubles", "fit_numbers", "read_numbers"]

Array = NDArray[Any]


def read_numbers(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    """JSON values, flat, as an array of the column's dtype and of `shape`. Raises `InvalidInputs`."""
    try:
        found = _whole_numbers(leaves) if np.dtype(column.dtype).kind in "iu" else doubles(leaves)
    except (TypeError, OverflowError):
        found = _one_by_one(column, leaves, shape, path)
    return fit_numbers(column, found.reshape(shape), path)


def doubles(leaves: Sequence[Any]) -> Array:
    """JSON numbers as float64. Raises `TypeError` for what is no number, `OverflowError` for one that is too large.

    By way of `array`, which takes numbers only. numpy looks for a dtype that holds all: where one long text is among
    many values, that is as many times its length.
    """
    return np.frombuffer(array("d", leaves)) if leaves else np.empty(0)


def fit_numbers(column: Column, found: Array, path: Path) -> Array:
    """An array of booleans, whole numbers or floats, cast to the column's dtype where no value changes its meaning.

    A float takes any number, whole numbers take whole numbers in their range. Raises `InvalidInputs`.
    """
    dtype = np.dtype(column.dtype)
    if dtype.kind in "iu":
        return _fit_whole(dtype, found, path)
    result = found
    if found.dtype != dtype:
        with np.errstate(over="ignore"):
            result = found.astype(dtype)
    if not np.isfinite(result).all():
        missing = np.isnan(result)
        if not column.nullable and missing.any():
            refuse_missing(path.at(first(missing)), "missing (NaN)")
        infinite = np.isinf(result)
        if infinite.any():
            refuse(path.at(first(infinite)), f"is too large for {column.dtype}", "send a finite number")
    return result


def _whole_numbers(leaves: list[Any]) -> Array:
    return np.frombuffer(array("q", leaves), dtype=np.int64) if leaves else np.empty(0, dtype=np.int64)


def _one_by_one(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    """Numbers among which there may be nulls, very large ones, or things that are no numbers."""
    whole = np.dtype(column.dtype).kind in "iu"
    found: list[float | int] = []
    for i, value in enumerate(leaves):
        if value is None:
            if not column.nullable or whole:
                refuse_missing(path.at(place(i, shape)))
            found.append(math.nan)
        elif isinstance(value, list | dict):
            kind = describe_kind(value)
            refuse(path.at(place(i, shape)), f"is {kind}, not a single value", "remove the brackets around it")
        elif type(value) not in (int, float, bool):
            refuse(path.at(place(i, shape)), f"is {describe_kind(value)}, not a number", f"send a {column.dtype}")
        elif whole:
            found.append(_whole(column.dtype, value, path, i, shape))
        else:
            try:
                found.append(float(value))
            except OverflowError:
                refuse(path.at(place(i, shape)), f"is too large for {column.dtype}", "send a finite number")
    return np.array(found, dtype=column.dtype if whole else np.float64)


def _whole(dtype: str, value: float, path: Path, i: int, shape: Sequence[int]) -> int:
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max or value != int(value):
        _refuse_whole(path.at(place(i, shape)), value, limits)
    return int(value)


def _fit_whole(dtype: np.dtype[Any], found: Array, path: Path) -> Array:
    if found.dtype == dtype or found.dtype.kind == "b":
        return found.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    if found.dtype.kind == "f":
        wide = found.astype(np.float64) if found.dtype.itemsize < 8 else found
        # The largest itself is no float: the next power of two is, and is the first that does not fit.
        bad = ~((wide >= float(limits.min)) & (wide < float(limits.max + 1)) & (wide == np.floor(wide)))
    else:
        bad = (found < limits.min) | (found > limits.max)
    if bad.any():
        index = first(bad)
        _refuse_whole(path.at(index), found[index].item(), limits)
    return found.astype(dtype)


def _refuse_whole(field: str, value: float, limits: np.iinfo[Any]) -> NoReturn:
    said = f"{value}" if not abs(value) >= 2**128 else "a number of that size"
    refuse(field, f"is {said}, not a whole number of {limits.dtype}", f"send {limits.min} to {limits.max}")
