"""Weights written into an ONNX file one after the other, from where they lie.

torch's exporter holds them twice more for a moment, as a protobuf and as its bytes. A protobuf is a row of fields: the
graph is exported without weights, and each weight becomes a field behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodeploy_magic.registry import need

__all__ = ["add_weights"]

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""Fields of ONNX's ModelProto, GraphProto and TensorProto."""


def add_weights(path: Path, tensors: Mapping[str, Any], inputs: list[str]) -> None:
    """Make the graph at `path`, in which weights are inputs like `inputs`, one that holds them.

    Raises `KeyError` for an input that is neither.
    """
    onnx = need("onnx", "writing a PyTorch model as ONNX")
    model = onnx.load_model(str(path))
    graph = model.graph
    names = [item.name for item in graph.input if item.name not in inputs]
    kept = [item for item in graph.input if item.name in inputs]
    del graph.input[:]
    graph.input.extend(kept)
    arrays = {name: tensors[name].detach().contiguous().numpy() for name in names}
    heads = {name: _head(onnx, name, array) for name, array in arrays.items()}
    body: bytes = graph.SerializeToString()
    model.ClearField("graph")
    whole = len(body) + sum(len(heads[name]) + array.nbytes for name, array in arrays.items())
    with path.open("wb") as stream:
        stream.write(model.SerializeToString() + _field(_GRAPH, whole) + body)
        for name, array in arrays.items():
            stream.write(heads[name])
            stream.write(array.reshape(-1).view("uint8").data)


def _head(onnx: Any, name: str, array: Any) -> bytes:
    """All of an initializer that stands before its bytes."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor: bytes = onnx.TensorProto(dims=array.shape, data_type=kind, name=name).SerializeToString()
    raw = _field(_RAW_DATA, array.nbytes)
    return _field(_INITIALIZER, len(tensor) + len(raw) + array.nbytes) + tensor + raw


def _field(number: int, size: int) -> bytes:
    """The tag of a field of bytes, and how many there are."""
    return _varint(number << 3 | 2) + _varint(size)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
