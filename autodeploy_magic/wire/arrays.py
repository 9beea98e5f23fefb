"""Requests that come as arrays (binary tensors, Arrow columns): checked against the same signature as JSON rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import BodyTooLarge, InvalidInputs
from autodeploy_magic.wire.columns import Array, decode_column, flat, kind_of, refuse
from autodeploy_magic.wire.inputs import Batch

__all__ = ["from_arrays"]


def from_arrays(signature: Signature, arrays: Mapping[str, Array], *, max_rows: int | None = None) -> Batch:
    """Check named arrays against the signature and return them as a `Batch`.

    A table's column may come as (n,) or (n, 1). Numbers are cast to the signature's dtype where no value changes its
    meaning: any number for a float, whole numbers in range for an integer. Text comes as str or UTF-8 bytes. Raises
    `InvalidInputs` naming the input, or `BodyTooLarge` where there are more than `max_rows` rows.
    """
    wanted = [column.name for column in signature.columns]
    for name in wanted:
        if name not in arrays:
            refuse(name, "is missing", f"send the inputs {', '.join(wanted)}")
    for name in arrays:
        if name not in wanted:
            refuse(name, "is not an input of this model", f"send the inputs {', '.join(wanted)}")
    rows = len(arrays[wanted[0]]) if arrays[wanted[0]].ndim else 0
    if rows == 0:
        raise InvalidInputs("the request has no rows", fix="send at least one row", field=wanted[0])
    if max_rows is not None and rows > max_rows:
        raise BodyTooLarge(
            f"the request has {rows} rows; this deployment takes {max_rows} in one request",
            fix=f"send the rows in parts of at most {max_rows}",
            field=wanted[0],
        )
    columns = {column.name: _fit(column, arrays[column.name], rows) for column in signature.columns}
    return Batch(signature, rows, columns)


def _fit(column: Column, given: Array, rows: int) -> Array:
    values = given.reshape(rows) if given.shape == (rows, 1) and not column.shape else given
    fits = values.ndim == 1 + len(column.shape) and len(values) == rows
    if not fits or any(want not in (-1, got) for want, got in zip(column.shape, values.shape[1:], strict=True)):
        wanted = ", ".join("any" if size == -1 else str(size) for size in (rows, *column.shape))
        refuse(column.name, f"has the shape {list(given.shape)}", f"send the shape [{wanted}]")
    kind = kind_of(column)
    if kind in ("text", "any", "time", "extension"):
        texts = [_text(column, value) for value in values.reshape(-1).tolist()]
        return decode_column(flat(column), texts).reshape(values.shape)
    if values.dtype.kind not in ("b" if kind == "bool" else "iuf"):
        given_kind = "text" if values.dtype.kind in "OSU" else str(values.dtype)
        refuse(column.name, f"is {given_kind}, not {column.dtype}", f"send {column.dtype}")
    return values if kind == "bool" else _number(column, values)


def _number(column: Column, values: Array) -> Array:
    dtype = np.dtype(column.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        bad = (values < limits.min) | (values > limits.max) | (values != np.floor(values))
        reason, fix = f"is not a whole number of {dtype}", f"send {limits.min} to {limits.max}"
    else:
        with np.errstate(over="ignore"):
            values = values.astype(dtype, copy=False)
        bad = np.isinf(values) if column.nullable else ~np.isfinite(values)
        reason = "is not a finite number" if column.nullable else "is missing or not a finite number"
        fix = "send a number, or deploy again with a sample that has missing values in this column"
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        refuse("".join([column.name, *(f"[{i}]" for i in index)]), reason, fix)
    return values.astype(dtype, copy=False)


def _text(column: Column, value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            refuse(column.name, "holds bytes that are not UTF-8", "send text as UTF-8")
    return value
