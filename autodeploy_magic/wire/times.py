"""Columns of dates and of spans of time: ISO 8601 as text, or numpy's own, in the column's unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column
from autodeploy_magic.wire.fields import Path, describe_kind, first, place, refuse, refuse_missing

__all__ = ["fit_times", "read_times"]

Array = NDArray[Any]

# numpy alone reads more than dates: "now", "", and 20260131 as a year.
_DATE = re.compile(
    r"(-?\d{4,5}(?:-\d\d(?:-\d\d(?:[T ]\d\d(?::\d\d(?::\d\d(?:\.\d{1,6})?)?)?)?)?)?)"
    r"(?:(?<=\.\d{6})(\d{1,3}))?"  # nanoseconds
    r"(Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_UTC = {None, "Z", "+00", "+0000", "+00:00", "-00", "-0000", "-00:00"}
_NANOSECONDS = re.compile(r"-?\d{1,19}", re.ASCII)
_SPAN_CHARACTERS = 60
"""More than any span needs, and few enough for whatever reads it."""


def read_times(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    """JSON values, flat, as an array of the column's dtype and of `shape`. Raises `InvalidInputs`.

    A date may end in Z; another offset from UTC is refused, since the sample's dates have none to convert it to.
    """
    for i, value in enumerate(leaves):
        if value is None:
            if not column.nullable:
                refuse_missing(path.at(place(i, shape)))
        elif type(value) is not str:
            refuse(path.at(place(i, shape)), f"is {describe_kind(value)}, not {_wanted(column)}", _fix(column))
    read = _dates if column.dtype.startswith("datetime") else _spans
    return read(column, leaves, shape, path).reshape(tuple(shape))


def fit_times(column: Column, found: Array, path: Path) -> Array:
    """An array of dates or spans in the column's unit; a finer one is cut. Raises `InvalidInputs` for what is missing
    where nothing was in the sample, and for what the unit cannot reach.
    """
    dtype = np.dtype(column.dtype)
    if found.dtype.kind != dtype.kind:
        refuse(path.whole, f"is {found.dtype}, not {_wanted(column)}", f"send {column.dtype}")
    missing = np.isnat(found)
    if not column.nullable and missing.any():
        refuse_missing(path.at(first(missing)), "missing (NaT)")
    try:
        result = found.astype(dtype)
        finer = np.promote_types(found.dtype, dtype) == dtype
    except (TypeError, OverflowError):  # a span of months has no length in days
        refuse(path.whole, f"is {found.dtype}, not {dtype}", f"send {column.dtype}")
    # numpy wraps around silently: what does not come back was out of reach.
    bad = (result.astype(found.dtype) != found) & ~missing if finer else np.isnat(result) & ~missing
    if bad.any():
        refuse(path.at(first(bad)), f"is out of the range of {dtype}", _fix(column))
    return result


def _dates(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    texts: list[str] = []
    rest: dict[int, int] = {}  # what a fraction has beyond microseconds, in which every year has its place
    for i, value in enumerate(leaves):
        match = None if value is None else _DATE.fullmatch(value)
        if match is None or match[3] not in _UTC:
            if value is not None:
                _refuse_date(column, value, path.at(place(i, shape)))
            texts.append("NaT")
            continue
        texts.append(match[1])
        if match[2]:
            rest[i] = int(match[2].ljust(3, "0"))
    try:
        micros = np.array(texts, dtype="datetime64[us]")
    except ValueError:  # a 31st of February
        for i, text in enumerate(texts):
            try:
                np.datetime64(text, "us")
            except ValueError:
                _refuse_date(column, text, path.at(place(i, shape)))
        raise
    found = fit_times(column, micros.reshape(tuple(shape)), path).reshape(-1)
    if rest and np.datetime_data(found.dtype)[0] == "ns":
        for i, nanos in rest.items():
            later = found[i] + np.timedelta64(nanos, "ns")
            if not later >= found[i]:  # it wrapped around, perhaps to NaT
                refuse(path.at(place(i, shape)), f"is out of the range of {found.dtype}", _fix(column))
            found[i] = later
    return found


def _refuse_date(column: Column, value: str, field: str) -> None:
    match = _DATE.fullmatch(value)
    if match is not None and match[3] not in _UTC:
        refuse(field, "has an offset from UTC, and the sample's dates have none", "send it as the sample's dates are")
    refuse(field, f"is not {_wanted(column)}", _fix(column))


def _spans(column: Column, leaves: list[Any], shape: Sequence[int], path: Path) -> Array:
    found = np.empty(len(leaves), dtype=column.dtype)
    for i, value in enumerate(leaves):
        span = np.timedelta64("NaT", "ns") if value is None else _span(value)
        if span is None:
            refuse(path.at(place(i, shape)), f"is not {_wanted(column)}", _fix(column))
        found[i] = fit_times(column, np.array([span]), path.of([place(i, shape)]))[0]
    return found


def _span(text: str) -> Any:
    """A span as pandas reads it ("1 days 06:00:00", "P1DT6H"), or a whole number of nanoseconds."""
    if len(text) > _SPAN_CHARACTERS:
        return None
    if _NANOSECONDS.fullmatch(text):
        return np.timedelta64(int(text), "ns") if abs(int(text)) < 2**63 else None
    import pandas as pd

    try:
        return pd.Timedelta(text).to_timedelta64()
    except (ValueError, OverflowError, AttributeError):  # NaT has no to_timedelta64
        return None


def _wanted(column: Column) -> str:
    return "a date in ISO 8601" if column.dtype.startswith("datetime") else "a span of time"


def _fix(column: Column) -> str:
    date = column.dtype.startswith("datetime")
    return f"send for example {'2026-01-31T12:00:00' if date else '1 days 06:00:00'}"
