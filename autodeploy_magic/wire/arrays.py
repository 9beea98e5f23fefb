"""Requests that come as arrays (binary tensors, Arrow columns): checked against the same signature as JSON rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire.answers import to_plain
from autodeploy_magic.wire.columns import Array, decode_column, kind_of, read_leaves
from autodeploy_magic.wire.fields import Path, check_rows, refuse, short
from autodeploy_magic.wire.inputs import Batch
from autodeploy_magic.wire.numbers import fit_numbers
from autodeploy_magic.wire.times import fit_times

__all__ = ["from_arrays"]


def from_arrays(
    signature: Signature,
    arrays: Mapping[str, Array],
    *,
    max_rows: int | None = None,
    style: Literal["table", "rows", "tensor"] = "tensor",
) -> Batch:
    """Check named arrays against the signature and return them as a `Batch`, whose arrays may be written to.

    A tensor of a table's column may come as (n,) or (n, 1). Numbers are cast to the signature's dtype where no value
    changes its meaning: any number for a float, whole numbers in range for an integer. Text is str, or bytes of UTF-8;
    of a file, bytes are what is in it. An array of objects is read as JSON values are, None for what is missing; of a
    column with a shape it may hold its rows as lists. `style` is how errors name a value. Raises `InvalidInputs` naming
    the input, or `BodyTooLarge` where there are more than `max_rows` rows.
    """
    wanted = [column.name for column in signature.columns]
    paths = {name: Path(name, style) for name in wanted}
    for name in wanted:
        if name not in arrays:
            refuse(paths[name].whole, "is missing", f"send the inputs {', '.join(wanted[:20])}")
    for name in arrays:
        if name not in paths:
            said = short(Path(name, style).whole)
            refuse(said, "is not an input of this model", f"send the inputs {', '.join(wanted[:20])}")
    rows = len(arrays[wanted[0]]) if arrays[wanted[0]].ndim else 0
    check_rows(rows, max_rows, wanted[0] if style == "tensor" else "inputs")
    columns = {column.name: _fit(column, arrays[column.name], rows, paths[column.name]) for column in signature.columns}
    return Batch(signature, rows, columns)


def _fit(column: Column, given: Array, rows: int, path: Path) -> Array:
    found = _read(column, given, rows, path)
    # What was read off a request's own bytes cannot be written to, and a preprocess may want to.
    return found if found.flags.writeable else found.copy()


def _read(column: Column, given: Array, rows: int, path: Path) -> Array:
    if given.dtype.kind == "O" and given.ndim == 1 and column.shape and len(given) == rows:
        return decode_column(column, given.tolist(), path)
    tensor = path.style == "tensor"
    values = given.reshape(rows) if tensor and given.shape == (rows, 1) and not column.shape else given
    fits = values.ndim == 1 + len(column.shape) and len(values) == rows
    if not fits or any(want not in (-1, got) for want, got in zip(column.shape, values.shape[1:], strict=True)):
        if not tensor:
            decode_column(column, to_plain(values[:1]), path)  # which says what is the matter with it
        wanted = ", ".join("any" if size == -1 else str(size) for size in (rows, *column.shape))
        refuse(path.whole, f"has the shape {list(given.shape)}", f"send the shape [{wanted}]")
    kind = kind_of(column)
    given_kind = values.dtype.kind
    if kind == "number" and given_kind in "biuf":
        return fit_numbers(column, values, path)
    if kind == "bool" and given_kind == "b":
        return values
    if kind == "time" and given_kind == np.dtype(column.dtype).kind:
        return fit_times(column, values, path)
    if kind in ("number", "bool") and given_kind not in "OSU" and values.ndim > 1:
        refuse(path.whole, f"is {values.dtype}, not {column.dtype}", f"send {column.dtype}")
    if kind == "file" and given_kind in "OS":
        return read_leaves(column, values.reshape(-1).tolist(), values.shape, path)
    return read_leaves(column, _leaves(values, path), values.shape, path)


def _leaves(values: Array, path: Path) -> list[Any]:
    """The single values, as JSON has them."""
    flat = values.reshape(-1)
    if values.dtype.kind not in "OS":
        return list(to_plain(flat))
    return [_text(value, path) if isinstance(value, bytes) else value for value in flat.tolist()]


def _text(value: bytes, path: Path) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputs(
            f"{path.whole} holds bytes that are not UTF-8", fix="send text as UTF-8", field=path.whole
        ) from error
