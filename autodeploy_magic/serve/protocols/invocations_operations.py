"""The contract of MLflow's scoring server and of SageMaker's containers in `/docs.json`."""

from __future__ import annotations

from autodeploy_magic.serve.protocols import JSON, examples, schemas
from autodeploy_magic.serve.protocols.operation import (
    TEXT,
    Answered,
    Content,
    Named,
    Operation,
    Schema,
    object_of,
)
from autodeploy_magic.serve.protocols.refusals import problem
from autodeploy_magic.serve.road import Road

__all__ = ["CSV", "PLAIN", "invoke", "ping"]

CSV = "text/csv"
PLAIN = "text/plain"

_TAG = "MLflow, SageMaker"
_PROBLEM = problem("MLflowProblem", "error_code", "message", "id")


def ping(name: str) -> Operation:
    """`GET /ping`, and what else asks the same."""
    empty = {PLAIN: Content(TEXT)}
    answers = {200: Answered("It is.", empty), 503: Answered("It is on its way out.", empty)}
    return Operation(name, _TAG, "Whether it is ready for requests", answers, _PROBLEM)


def invoke(road: Road) -> Operation:
    """`POST /invocations`."""
    (predictions,) = (output for output in road.version.outputs if output.name == "predictions")
    schema = object_of({"predictions": schemas.output(predictions)}, closed=True)
    sample = examples.sample(road)
    answers = sample.answers if sample is not None else {}
    example = {"sample": {"predictions": answers["predictions"]}} if "predictions" in answers else {}
    answer = {JSON: Content(Named("InvocationsAnswer", schema), example)}
    requests = {way: {way: sample.inputs} for way in ("instances", "inputs")} if sample is not None else {}
    body = {JSON: Content(_request(road), requests)}
    signature = road.version.signature
    cells = 1 if signature.container in ("ndarray", "list") else 0
    if all(len(column.shape) <= cells for column in signature.columns):
        said = "Rows in the order of the columns, or under a line with their names. An empty cell is a missing value."
        body[CSV] = Content({"type": "string", "description": said})
    return Operation(
        "invocations",
        _TAG,
        "Predictions for rows",
        {200: Answered("As many as there were rows.", answer)},
        _PROBLEM,
        body=body,
    )


def _request(road: Road) -> Named:
    signature, max_rows = road.served.accepts, road.served.max_rows
    rows = schemas.inputs(signature, max_rows)
    # In another order the rows would be in that order too, which a schema cannot say.
    named = {"enum": [[column.name for column in signature.columns], None]}
    columns = named if signature.container == "dataframe" else {"type": ["array", "null"], "items": TEXT}
    row: Schema | Named = Named("Row", schemas.row(signature))
    if signature.container in ("ndarray", "list") and not signature.columns[0].shape:
        row = schemas.nested(schemas.value(signature.columns[0]), (1,))
    split = object_of({"data": schemas.rows(row, max_rows)}, {"columns": columns})
    forms: dict[str, Schema | Named] = {"dataframe_split": split, "instances": rows, "inputs": rows}
    if signature.container in ("dataframe", "dict"):
        forms["dataframe_records"] = schemas.rows(Named("Record", schemas.record(signature)), max_rows)
    return Named(
        "InvocationsRequest",
        {"oneOf": [object_of({key: form}) for key, form in forms.items()]},
    )
