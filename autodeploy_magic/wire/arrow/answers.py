"""Outputs → a table with one column for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from autodeploy_magic.wire.answers import to_plain

__all__ = ["to_table"]

_encode = msgspec.json.Encoder().encode
_UNITS = {"s", "ms", "us", "ns"}


def to_table(outputs: Mapping[str, Any], metadata: Mapping[str, str]) -> Any:
    """Outputs, of which each has one value a row, as a `pyarrow.Table` with `metadata` in its schema.

    Arrays keep their dtype, labels are strings; a row with a shape is a list of fixed size, a row of a frame a struct;
    what Arrow has no type for is JSON, as text. Raises `TypeError` for what not even JSON can say.
    """
    import pyarrow as pa

    return pa.table({name: _column(values) for name, values in outputs.items()}).replace_schema_metadata(dict(metadata))


def _column(values: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, np.ndarray) and values.dtype.kind in "biufmM":
        return _array(values)
    if hasattr(values, "columns") and hasattr(values, "iloc"):
        names = [str(name) for name in values.columns]
        return pa.StructArray.from_arrays([_column(values.iloc[:, i]) for i in range(len(names))], names=names)
    if hasattr(values, "to_numpy") and getattr(values, "dtype", None) is not None:
        plain = values.to_numpy() if isinstance(values.dtype, np.dtype) else None
        if plain is not None and plain.dtype.kind in "biufmM":
            return _array(plain)
    plain = to_plain(values)
    try:
        found = pa.array(plain)
    except (pa.ArrowException, OverflowError):  # values of several kinds
        found = pa.array([None if value is None else _encode(value).decode() for value in plain])
    return found.cast(pa.string()) if pa.types.is_null(found.type) else found


def _array(values: np.ndarray[Any, Any]) -> Any:
    import pyarrow as pa

    if values.dtype.kind in "mM" and np.datetime_data(values.dtype)[0] not in _UNITS:
        values = values.astype(f"{values.dtype.kind}8[s]")
    elif values.dtype.itemsize > 8:
        values = values.astype(np.float64)  # a long double
    found = pa.array(np.ascontiguousarray(values.reshape(-1)).astype(values.dtype.newbyteorder("="), copy=False))
    for size in reversed(values.shape[1:]):
        found = pa.FixedSizeListArray.from_arrays(found, size)
    return found
