"""One column of a table as an array: numbers, truths and dates as numpy's own, anything else as JSON would have it."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np

from autodeploy_magic.wire.answers import to_plain
from autodeploy_magic.wire.arrow.limits import Limits
from autodeploy_magic.wire.columns import Array
from autodeploy_magic.wire.fields import Path, refuse, short

__all__ = ["Reader", "depth", "is_list"]

_UTC = {None, "UTC", "Etc/UTC", "Z", "+00:00"}
"""Zones whose times are the ones that a sample without a zone has."""
_OBJECT_BYTES = 16
"""What a value that becomes an object is counted for. It takes more, as a value of JSON does, which has four bytes."""


class Reader:
    """Reads columns. Those that become objects come to `max_bytes` at most, counted as often as a value stands there:
    a text that many rows share is in a body once.
    """

    def __init__(self, max_bytes: int) -> None:
        self._limits = Limits(0, max_bytes)

    def files(self, column: Any) -> Array | None:
        """A `pyarrow.ChunkedArray` of bytes as they are, None for what is missing; None where it is of another type."""
        from pyarrow import types as t

        if not (t.is_binary(column.type) or t.is_large_binary(column.type) or t.is_binary_view(column.type)):
            return None
        for chunk in column.chunks:
            self._limits.bytes(int(_text_sizes(chunk).sum()))
            self._count(chunk)
        found = np.empty(len(column), dtype=object)
        for i, value in enumerate(column.to_pylist()):
            found[i] = value
        return found

    def array(self, column: Any, path: Path) -> Array:
        """A `pyarrow.ChunkedArray`: numbers, truths and dates without gaps by dtype, lists of them where all are of one
        length with more dimensions; anything else as objects, None for what is missing.
        """
        _check_type(column.type, path)
        parts = [self._chunk(chunk, path) for chunk in column.chunks]
        if len(parts) == 1:
            return parts[0]
        if len({(part.dtype.kind == "O", part.shape[1:]) for part in parts}) > 1:
            parts = [self._objects(chunk, path) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty(0, dtype=object)

    def _chunk(self, chunk: Any, path: Path) -> Array:
        from pyarrow import types as t

        kind = chunk.type
        if is_list(kind):
            found = self._lists(chunk, path)
            return self._objects(chunk, path) if found is None else found
        if t.is_decimal(kind):
            return self._objects(chunk, path) if chunk.null_count else _decimals(chunk)
        if t.is_floating(kind):
            return _floats(chunk)
        if (t.is_integer(kind) or t.is_boolean(kind)) and not chunk.null_count:
            return np.asarray(chunk.to_numpy(zero_copy_only=False))
        if t.is_date(kind) or t.is_timestamp(kind) or t.is_duration(kind):
            return _moments(chunk)
        return self._objects(chunk, path)

    def _lists(self, chunk: Any, path: Path) -> Array | None:
        """Lists of one length, none missing, as an array; None for others."""
        from pyarrow import types as t

        if chunk.null_count or not len(chunk):
            return None
        if t.is_fixed_size_list(chunk.type):
            size = chunk.type.list_size
        else:
            sizes = np.diff(np.asarray(chunk.offsets))
            size = int(sizes[0])
            if (sizes != size).any():
                return None
        values = self._chunk(chunk.flatten(), path)
        return None if values.dtype.kind == "O" else values.reshape(len(chunk), size, *values.shape[1:])

    def _objects(self, chunk: Any, path: Path) -> Array:
        self._count(chunk)
        found = np.empty(len(chunk), dtype=object)
        try:
            found[:] = [_plain(value) for value in chunk.to_pylist()]
        except (ValueError, OverflowError):  # bytes that are no text, a date in a list that Python has no name for
            refuse(path.whole, "holds a value that JSON could not say", "send numbers, texts, true/false or dates")
        return found

    def _count(self, chunk: Any) -> None:
        """Count the objects that an array becomes, and the texts of those that may stand in many places."""
        from pyarrow import types as t

        kind = chunk.type
        self._limits.bytes(_OBJECT_BYTES * len(chunk))
        if t.is_dictionary(kind):
            sizes = _text_sizes(chunk.dictionary)
            indices = np.asarray(chunk.indices.drop_null())
            self._limits.bytes(int(sizes[indices].sum()) if len(indices) else 0)
        elif t.is_string_view(kind) or t.is_binary_view(kind):
            self._limits.bytes(int(_text_sizes(chunk).sum()))
        elif is_list(kind):
            self._count(chunk.flatten())
        elif t.is_struct(kind):
            for field in chunk.flatten():
                self._count(field)


def is_list(kind: Any) -> bool:
    """Whether an Arrow type is one of the lists that are read."""
    from pyarrow import types as t

    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


def depth(kind: Any) -> int:
    """How many lists a value of the Arrow type is nested in."""
    return 1 + depth(kind.value_type) if is_list(kind) else 0


def _check_type(kind: Any, path: Path) -> None:
    from pyarrow import types as t

    if t.is_timestamp(kind) and kind.tz not in _UTC:
        refuse(path.whole, f"has the zone {short(kind.tz)}, and the sample's dates have none", "send it without a zone")
    if is_list(kind) or t.is_dictionary(kind):
        _check_type(kind.value_type, path)
        return
    if t.is_struct(kind):
        for field in kind:
            _check_type(field.type, path)
        return
    plain = t.is_null(kind) or t.is_boolean(kind) or t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind)
    text = t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)
    raw = t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind)
    moment = t.is_date(kind) or t.is_time(kind) or t.is_timestamp(kind) or t.is_duration(kind)
    if not (plain or text or raw or moment):
        refuse(path.whole, f"has the Arrow type {short(str(kind))}", "send numbers, texts, true/false, lists or dates")


def _floats(chunk: Any) -> Array:
    if chunk.null_count:
        import pyarrow as pa

        chunk = chunk.cast(pa.float64()).fill_null(float("nan"))
    return np.asarray(chunk.to_numpy(zero_copy_only=False))


def _decimals(chunk: Any) -> Array:
    import pyarrow as pa

    if chunk.type.scale <= 0:
        try:
            return np.asarray(chunk.cast(pa.int64()).to_numpy())
        except pa.ArrowInvalid:
            pass  # larger than an int64
    return np.asarray(chunk.cast(pa.float64()).to_numpy())


def _moments(chunk: Any) -> Array:
    import pyarrow as pa

    unit = {"date32[day]": "D", "date64[ms]": "ms"}.get(str(chunk.type)) or chunk.type.unit
    kind = "timedelta64" if pa.types.is_duration(chunk.type) else "datetime64"
    integers = chunk.cast(pa.int32() if unit == "D" else pa.int64())
    found = np.asarray(integers.fill_null(0)).astype(f"{kind}[{unit}]")
    if chunk.null_count:
        found[np.asarray(chunk.is_null())] = "NaT"
    return found


def _text_sizes(chunk: Any) -> Array:
    """The bytes of each text; none for what is no text."""
    import pyarrow as pa
    from pyarrow import compute

    kind = chunk.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        views = chunk.buffers()[1]  # of 16 bytes each, the first four the text's length
        sizes = np.frombuffer(views, dtype="<i4")[4 * chunk.offset :: 4][: len(chunk)]
        return sizes.astype(np.int64)
    t = pa.types
    if not (t.is_string(kind) or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind)):
        return np.zeros(len(chunk), dtype=np.int64)
    return np.asarray(compute.binary_length(chunk).fill_null(0)).astype(np.int64)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return to_plain(value)
