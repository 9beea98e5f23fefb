"""Answers: what a live object returns ↔ JSON, with what a client needs to rebuild it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autodeploy_magic.contracts import Output
from autodeploy_magic.wire.libraries import from_library
from autodeploy_magic.wire.pictures import file_kind, from_text, is_picture, to_text

__all__ = ["by_target", "describe", "restore", "to_plain"]


def describe(name: str, value: Any, rows: int, *, method: str = "") -> Output:
    """Return how `value`, a live object's answer to `rows` rows, can be rebuilt from JSON."""
    value = from_library(value)
    kind = _pandas_kind(value)
    if kind == "Series":
        dtype = _dtype_name(value.dtype)
        label = None if value.name is None else str(value.name)
        return Output(name=name, container="series", dtype=dtype, series_name=label, method=method)
    if kind == "DataFrame":
        columns = tuple(str(column) for column in value.columns)
        return Output(name=name, container="dataframe", columns=columns, method=method)
    if isinstance(value, np.ndarray):
        per_row = value.ndim > 0 and len(value) == rows
        shape = tuple(value.shape[1:]) if per_row else tuple(value.shape)
        return Output(
            name=name, container="ndarray", dtype=_dtype_name(value.dtype), shape=shape, per_row=per_row, method=method
        )
    if isinstance(value, list):
        dtype = _file_dtype(value)
        return Output(name=name, container="list", dtype=dtype, per_row=len(value) == rows, method=method)
    return Output(name=name, container="json", dtype=_file_dtype([value]), per_row=False, method=method)


def by_target(probabilities: Any) -> Any:
    """The probabilities of a classifier of several targets, one array for each, as one of (rows, targets, classes);
    what is no such list, or has other classes for each target, as it is.
    """
    if not isinstance(probabilities, list) or not all(isinstance(item, np.ndarray) for item in probabilities):
        return probabilities
    alike = len({item.shape for item in probabilities}) == 1 and probabilities[0].ndim == 2
    return np.stack(probabilities, axis=1) if alike else probabilities


def to_plain(value: Any) -> Any:
    """Return `value` as JSON values: arrays as nested lists, frames as records, dates as ISO 8601, NaN as null.

    Pictures (as PNG) and bytes are base64. Spans of time in an array are nanoseconds, as text. Raises `TypeError` for
    what JSON cannot say.
    """
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if value is None or (isinstance(value, str | bool | int) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return to_plain(np.asarray(value)) if value.dtype.kind in "mM" else to_plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    kind = _pandas_kind(value)
    if kind == "DataFrame":
        names = [str(name) for name in value.columns]
        columns = [to_plain(value.iloc[:, i]) for i in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if kind in ("Series", "Index"):
        return _plain_series(value)
    if kind == "missing":
        return None
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return str(value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray | memoryview):
        return [to_plain(item) for item in value]
    return _plain_of_library(value)


def _plain_of_library(value: Any) -> Any:
    if is_picture(value) or isinstance(value, bytes | bytearray | memoryview):
        return to_text(value)
    plain = from_library(value)
    if plain is value:
        raise TypeError(f"an answer holds a {type(value).__module__}.{type(value).__qualname__}, which JSON cannot say")
    return to_plain(plain)


def restore(output: Output, plain: Any, *, index: Any = None) -> Any:
    """Rebuild what the live object returns from its JSON form: same values, dtype, shape and container.

    `index` is the row index of the frame that was sent, for answers that are a Series or a DataFrame.
    """
    if output.container in ("json", "list"):
        return _files(output, plain) if output.dtype in ("image", "bytes") else plain
    if output.container == "ndarray":
        dtype = np.dtype(output.dtype)
        if dtype.kind == "f":
            return np.array(plain, dtype=dtype)  # null becomes NaN
        if output.per_row and not len(plain):
            return np.empty((0, *output.shape), dtype=dtype)
        if dtype.kind == "m":
            return np.array(plain, dtype="timedelta64[ns]").astype(dtype)
        return np.array(plain, dtype="U" if dtype.kind == "U" else dtype)
    import pandas as pd

    if output.container == "series":
        return pd.Series(plain, index=index, name=output.series_name, dtype=output.dtype)
    return pd.DataFrame(plain, columns=list(output.columns), index=index)


def _file_dtype(values: list[Any]) -> str:
    kind = file_kind(values)
    return kind if kind in ("image", "bytes") else "object"


def _files(output: Output, plain: Any) -> Any:
    if isinstance(plain, list):
        return [_files(output, item) for item in plain]
    return from_text(output.dtype, plain) if isinstance(plain, str) else plain


def _dtype_name(dtype: Any) -> str:
    return str(dtype)


def _pandas_kind(value: Any) -> str:
    """Say which pandas thing `value` is, without importing pandas for things that are none of its."""
    if type(value).__module__.partition(".")[0] != "pandas":
        return ""
    name = type(value).__name__
    if name in ("NAType", "NaTType"):
        return "missing"
    if name in ("Timestamp", "Timedelta"):
        return ""
    import pandas as pd

    for kind in (pd.DataFrame, pd.Series, pd.Index):
        if isinstance(value, kind):
            return kind.__name__
    return "Series" if isinstance(value, pd.api.extensions.ExtensionArray) else ""


def _plain_array(value: np.ndarray[Any, Any]) -> Any:
    kind = value.dtype.kind
    if kind in "iubU":
        return value.tolist()
    if kind == "f":
        return _with_nulls(value, ~np.isfinite(value))
    if kind in "SV":  # base64 would not be what it says
        raise TypeError(f"an answer holds an array of {value.dtype}, which JSON cannot say")
    if kind == "M":
        return _with_nulls(np.datetime_as_string(value), np.isnat(value))
    if kind == "m":
        return _with_nulls(value.astype("timedelta64[ns]").astype(np.int64).astype(str), np.isnat(value))
    return to_plain(value.tolist())


def _with_nulls(value: Any, missing: np.ndarray[Any, np.dtype[np.bool_]]) -> Any:
    if missing.any():
        value = np.asarray(value, dtype=object)
        value[missing] = None
    return value.tolist()


def _plain_series(value: Any) -> Any:
    """A pandas column: numbers and dates through numpy, anything else value by value with None for what is missing."""
    dtype = value.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iubfM":
        return _plain_array(value.to_numpy())
    missing = value.isna()
    return [None if gone else to_plain(item) for item, gone in zip(value.tolist(), missing, strict=True)]
