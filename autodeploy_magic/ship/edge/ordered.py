"""The ORT format, with what has no order put in order: the same model gives the same bytes.

onnxruntime writes attributes, imports and initializers as its hash tables hold them, which is another order each time.
Nothing in the file means that order. It is copied here, table by table, with those lists sorted by name.
Source: onnxruntime/core/flatbuffers/schema/ort.fbs of ONNX Runtime 1.31 (MIT); format version 6.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from autodeploy_magic.registry import need

__all__ = ["UnknownFormat", "ordered"]

_IDENTIFIER = b"ORTM"

_SCHEMA: dict[str, str] = {
    "InferenceSession": "string Model - KernelTypeStrResolver",
    "Model": "int64 {OperatorSetId} string string string int64 string Graph string {StringStringEntry}",
    "Graph": "{Tensor} {ValueInfo} [Node] uint32 [NodeEdge] [string] [string] [SparseTensor] -",
    "Node": "string string string int32 uint32 string int32 string [string] [string] {Attribute} [int32] [string]",
    "NodeEdge": "uint32 [EdgeEnd] [EdgeEnd]",
    "Attribute": "string string int32 float32 int64 string Tensor Graph [float32] [int64] [string] [Tensor] [Graph]",
    "Tensor": "string string [int64] int32 [uint8] [string] int64",
    "SparseTensor": "Tensor Tensor [int64]",
    "ValueInfo": "string string TypeInfo",
    "TypeInfo": "string uint8 TypeInfoValue",
    "TensorTypeAndShape": "int32 Shape",
    "SequenceType": "TypeInfo",
    "MapType": "int32 TypeInfo",
    "Shape": "[Dimension]",
    "Dimension": "DimensionValue string",
    "DimensionValue": "int8 int64 string",
    "OperatorSetId": "string int64",
    "StringStringEntry": "string string",
    "KernelTypeStrResolver": "{OpIdKernelTypeStrArgsEntry}",
    "OpIdKernelTypeStrArgsEntry": "string {KernelTypeStrArgsEntry}",
    "KernelTypeStrArgsEntry": "string [ArgTypeAndIndex]",
    "ArgTypeAndIndex": "int8 uint32",
}
"""Each table's fields by their slots. [x] is a list, {x} one without an order; - is not written by a plain session."""

_SCALARS = {"int8": "b", "uint8": "B", "int32": "i", "uint32": "I", "int64": "q", "float32": "f"}
_UNION = {1: "TensorTypeAndShape", 2: "SequenceType", 3: "MapType"}
_EDGE = 12  # bytes of the struct EdgeEnd: three numbers of four
_ALIGNED = 16  # what a tensor's bytes are aligned to, so that they need not be copied


class UnknownFormat(Exception):
    """The file has what the schema here does not describe: a newer onnxruntime wrote it."""


def ordered(data: bytes) -> bytes:
    """Return the same model, in order. Raises `UnknownFormat`."""
    if data[4:8] != _IDENTIFIER:
        raise UnknownFormat("it does not begin as an ORT file does")
    copier = _Copier(data)
    root = copier.table("InferenceSession", copier.unpack("I", 0))
    copier.out.Finish(root, _IDENTIFIER)
    return bytes(copier.out.Output())


class _Copier:
    def __init__(self, data: bytes) -> None:
        flatbuffers = need("flatbuffers", "shipping to the edge")
        self._data = data
        self.out: Any = flatbuffers.Builder(len(data) + 1024)

    def unpack(self, code: str, position: int) -> Any:
        return struct.unpack_from(f"<{code}", self._data, position)[0]

    def table(self, kind: str, position: int) -> int:
        """Copy a table; returns where it is in what is written."""
        fields = _SCHEMA[kind].split()
        slots = self._slots(position)
        if len(slots) > len(fields) or any(slots[i] and field == "-" for i, field in enumerate(fields[: len(slots)])):
            raise UnknownFormat(f"a {kind} has a field that is not known")
        inline: list[tuple[int, Callable[[Any], None], Any]] = []
        for i, slot in enumerate(slots):
            if not slot:
                continue
            field, at = fields[i], position + slot
            if field in _SCALARS:
                inline.append((i, getattr(self.out, f"Prepend{field.capitalize()}"), self.unpack(_SCALARS[field], at)))
            else:
                target = at + self.unpack("I", at)
                if field == "TypeInfoValue":
                    field = _UNION[self.unpack("B", position + slots[i - 1])]
                inline.append((i, self.out.PrependUOffsetTRelative, self._copied(field, target)))
        self.out.StartObject(len(fields))
        for i, prepend, value in inline:
            prepend(value)
            self.out.Slot(i)
        return int(self.out.EndObject())

    def _slots(self, position: int) -> list[int]:
        """Where each field of a table is, from its position; 0 where it is absent."""
        fields = position - self.unpack("i", position)
        count = (self.unpack("H", fields) - 4) // 2
        return list(struct.unpack_from(f"<{count}H", self._data, fields + 4))

    def _copied(self, field: str, position: int) -> int:
        """Copy what an offset leads to: a text, a list, or a table."""
        if field == "string":
            return int(self.out.CreateSharedString(self._text(position)))
        if field[0] not in "[{":
            return self.table(field, position)
        kind, count = field[1:-1], self.unpack("I", position)
        if kind in _SCALARS:
            return self._numbers(kind, position + 4, count)
        if kind == "EdgeEnd":
            return self._edges(position + 4, count)
        targets = [at + self.unpack("I", at) for at in range(position + 4, position + 4 + 4 * count, 4)]
        if field[0] == "{":
            targets.sort(key=self._name)
        found = [self._copied(kind, target) for target in targets]
        self.out.StartVector(4, count, 4)
        for offset in reversed(found):
            self.out.PrependUOffsetTRelative(offset)
        return int(self.out.EndVector())

    def _numbers(self, kind: str, position: int, count: int) -> int:
        size = struct.calcsize(_SCALARS[kind])
        self.out.StartVector(size, count, _ALIGNED if kind == "uint8" else size)
        length = size * count
        self.out.head = self.out.Head() - length
        self.out.Bytes[self.out.head : self.out.head + length] = self._data[position : position + length]
        return int(self.out.EndVector())

    def _edges(self, position: int, count: int) -> int:
        self.out.StartVector(_EDGE, count, 4)
        for at in range(position + _EDGE * count - 4, position - 4, -4):
            self.out.PrependUint32(self.unpack("I", at))
        return int(self.out.EndVector())

    def _text(self, position: int) -> bytes:
        return self._data[position + 4 : position + 4 + self.unpack("I", position)]

    def _name(self, position: int) -> bytes:
        """The first field of a table, which is its name wherever there is no order; b"" where it has none."""
        slots = self._slots(position)
        if not slots or not slots[0]:
            return b""
        at = position + slots[0]
        return self._text(at + self.unpack("I", at))
