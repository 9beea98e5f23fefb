"""What JSON Schema cannot say of a valid request, put right before it is sent. Invalid ones stay as they are.

All columns have as many values, a tensor's data fill its shape, and bodies that are no JSON are made from the sample.
"""

from __future__ import annotations

import io
import json
import math
from typing import Any

import jsonschema
import pandas as pd
import schemathesis

BINARY = "application/octet-stream"
TABLES = {
    "application/vnd.apache.arrow.stream": "stream",
    "application/vnd.apache.arrow.file": "file",
    "application/vnd.apache.parquet": "parquet",
    "application/x-apache-arrow-stream": "stream",
    "application/x-feather": "file",
    "application/x-parquet": "parquet",
    "application/parquet": "parquet",
}
MOST_ROWS = 5
LENGTH = "Inference-Header-Content-Length"

Strict = jsonschema.Draft202012Validator
Lenient = jsonschema.validators.extend(
    Strict,
    type_checker=Strict.TYPE_CHECKER.redefine("number", lambda _, value: isinstance(value, int | float)).redefine(
        "integer", lambda _, value: isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    ),
)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if not _is_valid(case):
        return
    case.headers.pop(LENGTH, None)
    if case.media_type == BINARY:
        case.headers[LENGTH] = str(len(_binary(case)[0]))
    if case.media_type != "application/json" or not isinstance(case.body, dict):
        return
    if case.path.endswith("/infer"):
        for tensor in case.body["inputs"]:
            _fill(tensor, case.body["inputs"][0]["shape"][0])
    for name in ("inputs", "instances"):
        if isinstance(case.body.get(name), dict):
            case.body[name] = _even(case.body[name])
    if isinstance(case.body.get("parameters"), dict) and "config" in case.body["parameters"]:
        case.body["parameters"]["config"] = '{"version_policy": {"latest": {"num_versions": 2}}}'


@schemathesis.hook
def filter_failure(context: schemathesis.HookContext, failure: Any, case: schemathesis.Case, response: Any) -> bool:
    """A truth is read as the number that it is, as everywhere in Python, and no document says so.

    What is no JSON has no schema that it could violate: any text is a CSV.
    """
    if type(failure).__name__ != "AcceptedNegativeData":
        return True
    if case.media_type not in (None, "application/json"):
        return False
    if case.media_type is None:
        return True
    document = case.operation.schema.raw_schema
    schema = document["paths"][case.path]["post"]["requestBody"]["content"][case.media_type]["schema"]
    return not Lenient({**schema, "components": document["components"]}).is_valid(case.body)


@schemathesis.serializer("text/csv", BINARY, *TABLES)
def serialize(context: schemathesis.SerializationContext, value: Any) -> bytes:
    if not _is_valid(context.case):
        return value if isinstance(value, bytes) else str(value).encode()
    media_type = context.case.media_type
    if media_type == BINARY:
        return b"".join(_binary(context.case))
    table = pd.DataFrame(_sample(context.case, "/predict")["inputs"])
    if media_type == "text/csv":
        return table.to_csv(index=False, header=isinstance(table.columns[0], str)).encode()
    return _table(table, TABLES[str(media_type)])


def _is_valid(case: schemathesis.Case) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def _sample(case: schemathesis.Case, path: str) -> Any:
    content = case.operation.schema.raw_schema["paths"][path]["post"]["requestBody"]["content"]
    return content["application/json"]["examples"]["sample"]["value"]


def _even(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    rows = min(len(values) for values in columns.values())
    return {name: values[:rows] for name, values in columns.items()}


def _fill(tensor: dict[str, Any], rows: int) -> None:
    tensor["shape"] = [min(rows, MOST_ROWS), *tensor["shape"][1:]]
    wanted = math.prod(tensor["shape"])
    tensor["data"] = ((tensor["data"] or [{"BYTES": "", "BOOL": False}.get(tensor["datatype"], 0)]) * wanted)[:wanted]


def _binary(case: schemathesis.Case) -> tuple[bytes, bytes]:
    """The sample's first input as binary, all others as JSON: the header, and what follows it."""
    import numpy as np
    from tritonclient.utils import serialize_byte_tensor, triton_to_np_dtype

    body = _sample(case, case.path)
    first = {**body["inputs"][0]}
    values = np.array(first.pop("data"), triton_to_np_dtype(first["datatype"]))
    data = serialize_byte_tensor(values).item() if first["datatype"] == "BYTES" else values.tobytes()
    first["parameters"] = {"binary_data_size": len(data)}
    return json.dumps({"inputs": [first, *body["inputs"][1:]]}).encode(), data


def _table(table: pd.DataFrame, form: str) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    found = pa.Table.from_pandas(table, preserve_index=False)
    sink = io.BytesIO()
    if form == "parquet":
        parquet.write_table(found, sink)
    else:
        with (pa.ipc.new_stream if form == "stream" else pa.ipc.new_file)(sink, found.schema) as writer:
            writer.write_table(found)
    return sink.getvalue()
