"""Tensors in the messages of the Open Inference Protocol: raw bytes, or values in the field of their datatype."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.grpc.messages import Message, message
from autodeploy_magic.serve.protocols.tensors import (
    DATATYPES,
    check_shape,
    datatype_of,
    from_binary,
    to_binary,
    to_texts,
)

__all__ = ["CONTENTS", "read_inputs", "write_outputs"]

Array = NDArray[Any]

CONTENTS: dict[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype → the field of its values; FP16 has none."""
_WIDE = {"int_contents": np.dtype("int32"), "uint_contents": np.dtype("uint32")}

_Output = message("inference.ModelInferResponse.InferOutputTensor")


def read_inputs(request: Message) -> dict[str, Array]:
    """The inputs of a `ModelInferRequest` by name. Raises `InvalidInputs`."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInputs(
            f"the request has {len(request.inputs)} inputs and {len(raw)} raw_input_contents",
            fix="send the bytes of all inputs in raw_input_contents, in the order of the inputs, or none there",
            field="raw_input_contents",
        )
    arrays: dict[str, Array] = {}
    for i, tensor in enumerate(request.inputs):
        name = tensor.name
        if name in arrays:
            raise InvalidInputs(f"{name} stands twice", fix="send each input once", field=name)
        if "shared_memory_region" in tensor.parameters:
            raise InvalidInputs(
                f"{name} is in shared memory, which is not read here", fix="send it in the request", field=name
            )
        if not raw:
            arrays[name] = _from_contents(name, tensor.datatype, tuple(tensor.shape), tensor.contents)
        elif tensor.HasField("contents"):
            raise InvalidInputs(
                f"{name} has contents, and the request raw_input_contents", fix="send one of them", field=name
            )
        else:
            arrays[name] = from_binary(name, tensor.datatype, tuple(tensor.shape), memoryview(raw[i]))
    return arrays


def write_outputs(response: Message, answers: dict[str, Array], *, raw: bool) -> None:
    """Add the answers to a `ModelInferResponse`. Raises `InvalidInputs` for one that has no field of its own."""
    for name, array in answers.items():
        datatype = datatype_of(str(array.dtype))
        tensor = _Output(name=name, datatype=datatype, shape=array.shape)
        if raw:
            response.raw_output_contents.append(to_binary(array))
        elif datatype not in CONTENTS:
            raise InvalidInputs(
                f"{name} is {datatype}, which is answered in raw_output_contents alone",
                fix="leave binary_data_output out",
                field="parameters.binary_data_output",
            )
        else:
            values = to_texts(array) if datatype == "BYTES" else array.reshape(-1).tolist()
            getattr(tensor.contents, CONTENTS[datatype]).extend(values)
        response.outputs.append(tensor)


def _from_contents(name: str, datatype: str, shape: tuple[int, ...], contents: Message) -> Array:
    count = check_shape(name, datatype, shape)
    field = CONTENTS.get(datatype)
    if field is None:
        raise InvalidInputs(f"{name} is {datatype}, which has no contents", fix="send raw_input_contents", field=name)
    given = getattr(contents, field)
    if len(given) != count:
        raise InvalidInputs(
            f"{name} has {len(given)} {field} and the shape {list(shape)}, which holds {count}",
            fix=f"send as many {field}, or raw_input_contents",
            field=name,
        )
    wanted = np.dtype(DATATYPES[datatype])
    values = np.empty(count, dtype=_WIDE.get(field, wanted))
    values[:] = given
    if values.dtype != wanted:
        limits = np.iinfo(wanted)
        if count and (values.min() < limits.min or values.max() > limits.max):
            raise InvalidInputs(
                f"{name} holds a value that is no {datatype}", fix=f"send {limits.min} to {limits.max}", field=name
            )
        values = values.astype(wanted)
    return values.reshape(shape)
