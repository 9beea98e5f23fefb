"""Inference by the Open Inference Protocol in `/docs.json`: the tensors of a version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from autodeploy_magic.contracts import Column
from autodeploy_magic.serve.protocols import JSON, examples, model_card, schemas
from autodeploy_magic.serve.protocols.operation import (
    BYTES,
    TEXT,
    TRUTH,
    WHOLE,
    Answered,
    Content,
    Named,
    Operation,
    Parameter,
    Schema,
    list_of,
    object_of,
)
from autodeploy_magic.serve.protocols.tensors import DATATYPES
from autodeploy_magic.serve.protocols.v2_operations import MISSING_MODEL, of_model, operation
from autodeploy_magic.serve.road import Road
from autodeploy_magic.wire import restore, to_plain
from autodeploy_magic.wire.columns import kind_of

__all__ = ["BINARY", "LENGTH", "infer"]

BINARY = "application/octet-stream"
LENGTH = "Inference-Header-Content-Length"
_ROWS = 3


def infer(road: Road, worded: Callable[[dict[str, Any]], Any]) -> Operation:
    """`worded` turns outputs into the answer's JSON."""
    sample = _sample(road)
    answer = Content(_answer_schema(road), _sample_answer(road, worded))
    said = "How many bytes at the beginning of the body are JSON; the binary tensors follow."
    return operation(
        "infer",
        "Predictions for tensors",
        {200: Answered("The outputs that were asked for, all where none was named.", {JSON: answer, BINARY: BYTES})},
        body={JSON: Content(_request_schema(road), {"sample": sample} if sample else {}), BINARY: BYTES},
        paths=of_model("/infer"),
        refusals=MISSING_MODEL,
        parameters=(Parameter(LENGTH, "header", said, {"type": "integer", "minimum": 0}),),
        description=(
            "The tensors may come in any order, and their data flat or nested. Numbers of other datatypes are read "
            "too, where no value changes its meaning. Octet-stream bodies and answers are those of the protocol's "
            "extension for binary tensors."
        ),
    )


def _request_schema(road: Road) -> Named:
    signature = road.served.accepts
    described = model_card.tensors(road)["inputs"]
    tensors = [
        _tensor_schema(column, tensor, road.served.max_rows)
        for column, tensor in zip(signature.columns, described, strict=True)
    ]
    wanted = object_of(
        {"name": {"enum": [output.name for output in road.version.outputs]}},
        {"parameters": object_of({}, {"binary_data": TRUTH})},
    )
    return Named(
        "InferRequest",
        object_of(
            {"inputs": {"type": "array", "prefixItems": tensors, "minItems": len(tensors), "maxItems": len(tensors)}},
            {
                "id": {"type": "string", "description": "comes back in the answer"},
                "outputs": list_of(wanted),
                "parameters": object_of({}, {"binary_data_output": TRUTH}),
            },
        ),
    )


def _tensor_schema(column: Column, tensor: dict[str, Any], max_rows: int) -> Schema:
    rows = {"type": "integer", "minimum": 1, "maximum": max_rows, "description": "the number of rows"}
    sizes: list[Schema] = [rows, *({**WHOLE, "minimum": 0} if n == -1 else {"const": n} for n in tensor["shape"][1:])]
    return {
        "title": column.name,
        **object_of(
            {
                "name": {"const": column.name},
                "datatype": {"const": tensor["datatype"]},
                "shape": {"type": "array", "prefixItems": sizes, "minItems": len(sizes), "maxItems": len(sizes)},
                "data": {
                    **list_of(_leaf(column, tensor["datatype"])),
                    "description": "as many values as the shape holds",
                },
            }
        ),
    }


def _answer_schema(road: Road) -> Named:
    names = [output.name for output in road.version.outputs]
    tensor = object_of(
        {"name": {"enum": names}, "datatype": {"enum": list(DATATYPES)}, "shape": list_of(WHOLE)},
        {
            "data": list_of({"type": ["number", "string", "boolean", "null"]}),
            "parameters": object_of({"binary_data_size": WHOLE}),
        },
    )
    return Named(
        "InferAnswer",
        object_of({"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": list_of(tensor)}),
    )


def _leaf(column: Column, datatype: str) -> Schema:
    """One value. Only floats and texts may be missing: the protocol has no null."""
    if kind_of(column) == "any":
        return TEXT
    return schemas.value(column if _says_missing(datatype) else msgspec.structs.replace(column, nullable=False))


def _says_missing(datatype: str) -> bool:
    return datatype == "BYTES" or datatype.startswith("FP")


def _sample(road: Road) -> dict[str, Any]:
    """Rows of the version's sample as a request; only those that tensors can say."""
    described = model_card.tensors(road)["inputs"]
    plain = [tensor["name"] for tensor in described if not _says_missing(tensor["datatype"])]
    batch = road.served.decode(road.served.sample(road.served.max_rows))
    missing = [value is None for name in plain for value in batch.columns[name].reshape(batch.rows, -1)[:, 0].tolist()]
    said = ~np.array(missing, dtype=bool).reshape(len(plain), batch.rows).any(axis=0)
    tensors = []
    for tensor in described:
        values = batch.columns[tensor["name"]][said][:_ROWS]
        shape = [len(values), *(values.shape[1:] or tensor["shape"][1:])]
        data = to_plain(values.reshape(-1))
        if tensor["datatype"] == "BYTES":
            data = [value if value is None or isinstance(value, str) else str(value) for value in data]
        tensors.append({"name": tensor["name"], "datatype": tensor["datatype"], "shape": shape, "data": data})
    return {"inputs": tensors} if said.any() and examples.fits(tensors) else {}


def _sample_answer(road: Road, worded: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    sample = examples.sample(road)
    answers = sample.answers if sample is not None else {}
    live = {o.name: restore(o, answers[o.name]) for o in road.version.outputs if o.name in answers}
    return {"sample": worded(live)} if live else {}
