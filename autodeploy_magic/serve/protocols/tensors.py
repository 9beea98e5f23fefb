"""Tensors of the Open Inference Protocol v2: its datatypes, its JSON data and its binary form.

Source: Open Inference Protocol, required API and binary tensor data extension (kserve/open-inference-protocol;
Triton's extension_binary_data.md).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Column, Output
from autodeploy_magic.errors import InvalidInputs

__all__ = [
    "DATATYPES",
    "datatype_of",
    "from_binary",
    "from_json",
    "input_shape",
    "output_shape",
    "to_binary",
    "to_json",
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
    count = _count(name, datatype, shape)
    flat: list[Any] = []
    stack = [data]
    while stack:  # a loop, since the nesting is the client's to choose
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        else:
            flat.append(item)
    if len(flat) != count:
        raise _bad(name, f"has {len(flat)} values and the shape {list(shape)}, which holds {count}", "send as many")
    if not _plainly_fits(datatype, flat):
        for value in flat:
            if not _fits(datatype, value):
                raise _bad(name, f"holds {value!r}, which is no {datatype}", f"send {datatype} values")
    values = np.array(flat, dtype=DATATYPES[datatype])
    return values.reshape(shape)


def from_binary(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> Array:
    """Read a tensor from its little-endian bytes in row-major order. Raises `InvalidInputs`."""
    count = _count(name, datatype, shape)
    if datatype == "BYTES":
        return _strings(name, count, data).reshape(shape)
    dtype = np.dtype(DATATYPES[datatype]).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        raise _bad(
            name,
            f"has {len(data)} bytes; {datatype} of the shape {list(shape)} has {count * dtype.itemsize}",
            "send binary_data_size and shape that agree",
        )
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def to_json(values: Array) -> list[Any]:
    """A tensor's `data`: flat, in row-major order; a NaN is null."""
    flat = values.reshape(-1)
    if values.dtype.kind in "OSUM":
        return ["" if value is None else str(value) for value in flat.tolist()]
    if values.dtype.kind == "f" and not np.isfinite(flat).all():
        return [value if math.isfinite(value) else None for value in flat.tolist()]
    return flat.tolist()


def to_binary(values: Array) -> bytes:
    """A tensor's little-endian bytes in row-major order; each of BYTES has its length before it, as a uint32."""
    if values.dtype.kind in "OSUM":
        texts = [("" if value is None else str(value)).encode() for value in values.reshape(-1).tolist()]
        return b"".join(part for text in texts for part in (struct.pack("<I", len(text)), text))
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()


def _count(name: str, datatype: str, shape: Sequence[int]) -> int:
    if datatype not in DATATYPES:
        raise _bad(name, f"has the datatype {datatype!r}", f"send one of: {', '.join(DATATYPES)}")
    if not shape or any(size < 0 for size in shape):
        raise _bad(name, f"has the shape {list(shape)}", "send sizes of 0 or more")
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
    if len(found) != count:
        raise _bad(name, f"holds {len(found)} strings; its shape holds {count}", "send as many as the shape holds")
    values = np.empty(count, dtype=object)
    values[:] = found
    return values


def _plainly_fits(datatype: str, values: list[Any]) -> bool:
    """The usual case at the speed of a set: a picture has 150 000 values."""
    kinds = set(map(type, values))
    if datatype.startswith("FP"):
        return kinds <= {float}
    return kinds <= {{"BOOL": bool, "BYTES": str}.get(datatype)}


def _fits(datatype: str, value: Any) -> bool:
    if datatype == "BYTES":
        return isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return datatype.startswith("FP") and value is None
    if datatype in _INTEGER_LIMITS:
        limits = _INTEGER_LIMITS[datatype]
        return isinstance(value, int) and limits.min <= value <= limits.max
    return abs(value) < 2**1023


def _bad(name: str, problem: str, fix: str) -> InvalidInputs:
    return InvalidInputs(f"{name} {problem}", fix=fix, field=name)
