"""ONNX files: the exporter serves them as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from autodeploy_magic.build.read.given import Given, size_text
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["OnnxReader", "reader"]

_IR_VERSION, _GRAPH, _FUNCTIONS = 1, 7, 25
_KNOWN = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
"""Fields of ModelProto, with their wire types. Source: onnx/onnx.proto."""


class OnnxReader:
    """Its top-level fields are walked: that tells a model from any other protobuf, and one that is cut off."""

    title = "an ONNX model"

    def recognises(self, given: Given) -> bool:
        if given.is_folder or given.is_zip:
            return False
        return _fields(given.path, 1)[:1] == [_IR_VERSION] and given.head[1:2] < b"\x40" and _begins(given)

    def read(self, given: Given) -> Any:
        fields = _fields(given.path)
        if fields[-1:] == [-1]:
            raise BadInput(
                f"{given.name} is an ONNX model that is cut off or damaged",
                why=f"a part of it is longer than the rest of the file, which has {size_text(given.size_bytes)}",
                fix="fetch or save it again, and compare its size and SHA-256",
            )
        if _GRAPH not in fields:
            raise BadInput(f"{given.name} is an ONNX file without a graph", fix="save it again: onnx.save(model, path)")
        if given.suffix != ".onnx":  # which the exporter tells a path by
            return need("onnx", f"reading {given.name}").load(str(given.path))
        return given.path


def _begins(given: Given) -> bool:
    """Whether the first fields are ModelProto's; a lone one of another protobuf is not enough."""
    fields = _fields(given.path, 3)
    return len([field for field in fields if field > 0]) > 1 or given.suffix == ".onnx"


def _fields(path: Path, most: int = 10_000) -> list[int]:
    """The numbers of the top-level fields, without reading what is in them; -1 at the end of what is no ModelProto."""
    size = path.stat().st_size
    found: list[int] = []
    with path.open("rb") as stream:
        while stream.tell() < size and len(found) < most:
            key = _varint(stream)
            if key is None or _KNOWN.get(key >> 3) != key & 7:
                return [*found, -1]
            length = _varint(stream)
            if length is None or (key & 7 == 2 and stream.tell() + length > size):
                return [*found, -1] if key >> 3 != _GRAPH else [*found, _GRAPH, -1]
            if key & 7 == 2:
                stream.seek(length, 1)
            found.append(key >> 3)
    return found


def _varint(stream: BinaryIO) -> int | None:
    value = shift = 0
    while shift < 64:
        byte = stream.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    return None


reader = OnnxReader()
