"""Tensors of the Open Inference Protocol v2: its datatypes, its JSON data and its binary form.

Source: Open Inference Protocol, required API and binary tensor data extension (kserve/open-inference-protocol;
Triton's extension_binary_data.md).
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column, Output
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire import to_plain
from autodeploy_magic.wire.fields import describe_kind, short
from autodeploy_magic.wire.numbers import doubles

__all__ = [
    "DATATYPES",
    "as_array",
    "check_shape",
    "datatype_of",
    "from_binary",
    "from_json",
    "input_shape",
    "output_shape",
    "to_binary",
    "to_json",
    "to_texts",
]

Array = NDArray[Any]

DATATYPES: dict[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
"""The protocol's datatype → numpy's. BYTES are strings of any length."""
_DIMENSIONS = 32
_VALUES = 2**56
_BY_DTYPE = {dtype: name for name, dtype in DATATYPES.items()}
_INTEGER_LIMITS = {name: np.iinfo(dtype) for name, dtype in DATATYPES.items() if "INT" in name}


def datatype_of(dtype: str) -> str:
    """The protocol's datatype for numpy's; anything that is not a number travels as BYTES."""
    return _BY_DTYPE.get(dtype.lower(), "BYTES")


def input_shape(column: Column, *, table: bool) -> list[int]:
    """The shape of an input with any number of rows: a table's column is [-1, 1]."""
    return [-1, 1] if table and not column.shape else [-1, *column.shape]


def output_shape(output: Output) -> list[int]:
    """The shape of an output with any number of rows."""
    return [-1, *output.shape] if output.per_row else [-1]


def from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> Array:
    """Read a tensor's `data`, flat or nested in row-major order. Raises `InvalidInputs`."""
    count = check_shape(name, datatype, shape)
    flat = _flat(data)
    if len(flat) != count:
        raise _bad(name, f"has {len(flat)} values and the shape {list(shape)}, which holds {count}", "send as many")
    if datatype in ("FP32", "FP64") and _plainly_fits(datatype, flat):
        # Twice as quick as numpy's own reading of a list.
        with np.errstate(over="ignore"):
            return doubles(flat).astype(DATATYPES[datatype], copy=False).reshape(shape)
    if not _plainly_fits(datatype, flat):
        for value in flat:
            if not _fits(datatype, value):
                raise _bad(name, f"holds {_shown(value)}, which is no {datatype}", f"send {datatype} values")
    with np.errstate(over="ignore"):  # a number that is too large for FP16 or FP32 is infinite, and refused as such
        values = np.array(flat, dtype=DATATYPES[datatype])
    return values.reshape(shape)


def from_binary(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> Array:
    """Read a tensor from its little-endian bytes in row-major order. Raises `InvalidInputs`."""
    count = check_shape(name, datatype, shape)
    if datatype == "BYTES":
        return _strings(name, count, data).reshape(shape)
    dtype = np.dtype(DATATYPES[datatype]).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        raise _bad(
            name,
            f"has {len(data)} bytes; {datatype} of the shape {list(shape)} has {count * dtype.itemsize}",
            "send binary_data_size and shape that agree",
        )
    values = np.frombuffer(data, dtype=dtype).reshape(shape)
    # Any byte but 0 is true; numpy's own truths are 0 and 1, and two that are not are unequal.
    return values.view(np.uint8) != 0 if datatype == "BOOL" else values


def as_array(value: Any) -> Array:
    """An answer as a tensor; one that is no array of numbers or texts becomes one JSON text for each row."""
    found = value
    if hasattr(value, "to_numpy") and getattr(value, "ndim", 1) == 1:
        found = np.asarray(value.to_numpy())
    if isinstance(found, np.ndarray):
        # Dates are the texts that they are in JSON.
        return np.array(to_plain(found), dtype=object) if found.dtype.kind in "mM" else found
    plain = to_plain(value)
    rows = plain if isinstance(plain, list) else [plain]
    texts = np.empty(len(rows), dtype=object)
    texts[:] = [row if isinstance(row, str) else msgspec.json.encode(row).decode() for row in rows]
    return texts


def to_json(values: Array) -> list[Any]:
    """A tensor's `data`: flat, in row-major order; a NaN is null."""
    flat = values.reshape(-1)
    if values.dtype.kind in "OSUM":
        return ["" if value is None else str(value) for value in flat.tolist()]
    if values.dtype.kind == "f" and not np.isfinite(flat).all():
        return [value if math.isfinite(value) else None for value in flat.tolist()]
    return flat.tolist()


def to_texts(values: Array) -> list[bytes]:
    """The values of a tensor of BYTES, flat, as UTF-8; a missing one is empty."""
    return [("" if value is None else str(value)).encode() for value in values.reshape(-1).tolist()]


def to_binary(values: Array) -> bytes:
    """A tensor's little-endian bytes in row-major order; each of BYTES has its length before it, as a uint32."""
    if values.dtype.kind in "OSUM":
        texts = to_texts(values)
        known = {text: struct.pack("<I", len(text)) + text for text in set(texts)}  # labels are few, and rows many
        return b"".join([known[text] for text in texts])
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()


def check_shape(name: str, datatype: str, shape: Sequence[int]) -> int:
    """How many values a tensor of this shape holds. Raises `InvalidInputs` for a datatype or a shape that is none."""
    if datatype not in DATATYPES:
        raise _bad(name, f"has the datatype {short(datatype)!r}", f"send one of: {', '.join(DATATYPES)}")
    if len(shape) > _DIMENSIONS:
        raise _bad(name, f"has {len(shape)} dimensions", f"send at most {_DIMENSIONS}")
    if not shape or any(size < 0 for size in shape):
        raise _bad(name, f"has the shape {short(str(list(shape)))}", "send sizes of 0 or more")
    if math.prod(size or 1 for size in shape) > _VALUES:  # numpy minds it of an empty array too
        raise _bad(name, f"has the shape {short(str(list(shape)))}, which no array has", "send the shape of its values")
    return math.prod(shape)


def _strings(name: str, count: int, data: memoryview) -> Array:
    found: list[bytes] = []
    offset = 0
    while offset < len(data):
        if offset + 4 > len(data):
            raise _bad(name, "ends within the length of a string", "send the length of each as a uint32 before it")
        (size,) = struct.unpack_from("<I", data, offset)
        offset += 4
        if offset + size > len(data):
            raise _bad(name, "ends within a string", "send as many bytes as the length before each string says")
        found.append(bytes(data[offset : offset + size]))
        offset += size
        if len(found) > count:
            raise _bad(name, f"holds more strings than its shape, {count}", "send as many as the shape holds")
    if len(found) != count:
        raise _bad(name, f"holds {len(found)} strings; its shape holds {count}", "send as many as the shape holds")
    values = np.empty(count, dtype=object)
    values[:] = found
    return values


def _flat(data: Any) -> list[Any]:
    """The values of nested lists. Most clients send them flat."""
    if isinstance(data, list) and list not in set(map(type, data)):
        return data
    flat: list[Any] = []
    stack = [data]
    while stack:  # a loop, since the nesting is the client's to choose
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        else:
            flat.append(item)
    return flat


def _plainly_fits(datatype: str, values: list[Any]) -> bool:
    """The usual case at the speed of a set: a picture has 150 000 values."""
    kinds = set(map(type, values))
    if datatype.startswith("FP"):
        return kinds <= {float}
    return kinds <= {{"BOOL": bool, "BYTES": str}.get(datatype)}


def _fits(datatype: str, value: Any) -> bool:
    if datatype == "BYTES":
        return value is None or isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return datatype.startswith("FP") and value is None
    if datatype in _INTEGER_LIMITS:
        limits = _INTEGER_LIMITS[datatype]
        return (isinstance(value, int) or value.is_integer()) and limits.min <= value <= limits.max
    return abs(value) <= sys.float_info.max


def _shown(value: Any) -> str:
    return describe_kind(value) if isinstance(value, list | dict) else short(repr(value))


def _bad(name: str, problem: str, fix: str) -> InvalidInputs:
    return InvalidInputs(f"{short(name)} {problem}", fix=fix, field=short(name))
