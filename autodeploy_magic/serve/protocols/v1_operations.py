"""TensorFlow Serving's API in `/docs.json`."""

from __future__ import annotations

from autodeploy_magic.serve.protocols import JSON, examples, schemas
from autodeploy_magic.serve.protocols.operation import (
    TEXT,
    TRUTH,
    Answered,
    Content,
    Named,
    Operation,
    json,
    list_of,
    object_of,
)
from autodeploy_magic.serve.protocols.refusals import IN_ONE_LINE
from autodeploy_magic.serve.road import Road

__all__ = ["DEFAULT", "metadata", "models", "predict", "status"]

DEFAULT = "serving_default"
"""TensorFlow's name for the signature that answers where none is named."""

_TAG = "TensorFlow Serving, KServe v1"
_MODEL = ("/v1/models/{name}", "/v1/models/{name}/versions/{version}")
_MISSING = frozenset({404})


def models() -> Operation:
    """`GET /v1/models`."""
    answer = json("The one model.", object_of({"models": list_of(TEXT)}))
    return Operation("v1_models", _TAG, "The models' names", {200: answer}, IN_ONE_LINE)


def status() -> Operation:
    """`GET /v1/models/NAME`."""
    state = object_of({"version": TEXT, "state": {"enum": ["AVAILABLE", "UNLOADING"]}, "status": {"type": "object"}})
    schema = object_of({"model_version_status": list_of(state), "name": TEXT, "ready": TRUTH})
    answer = json("Each version that answers.", schema)
    return Operation(
        "v1_status", _TAG, "Which versions answer", {200: answer}, IN_ONE_LINE, paths=_MODEL, refusals=_MISSING
    )


def metadata() -> Operation:
    """`GET /v1/models/NAME/metadata`."""
    schema = object_of({"model_spec": object_of({"name": TEXT, "version": TEXT}), "metadata": {"type": "object"}})
    paths = tuple(f"{path}/metadata" for path in _MODEL)
    answer = json("A signature for each output, the predictions' being the default.", schema)
    return Operation(
        "v1_metadata", _TAG, "The model's signatures", {200: answer}, IN_ONE_LINE, paths=paths, refusals=_MISSING
    )


def predict(road: Road) -> Operation:
    """`POST /v1/models/NAME:predict`."""
    sample = examples.sample(road)
    request = {"sample": {"instances": sample.inputs}} if sample is not None else {}
    answers = sample.answers if sample is not None else {}
    answer = {"sample": {"predictions": answers["predictions"]}} if "predictions" in answers else {}
    answered = Answered("As many as there were rows.", {JSON: Content(_answer(road), answer)})
    return Operation(
        "v1_predict",
        _TAG,
        "Predictions for rows",
        {200: answered},
        IN_ONE_LINE,
        body={JSON: Content(_request(road), request)},
        paths=tuple(f"{path}:predict" for path in _MODEL),
        refusals=_MISSING,
        description="`instances` (rows) are answered with `predictions`, `inputs` (columns) with `outputs`.",
    )


def _request(road: Road) -> Named:
    names = [DEFAULT, *(output.name for output in road.version.outputs)]
    rows = schemas.inputs(road.served.accepts, road.served.max_rows)
    chosen = {"signature_name": {"enum": names}}
    forms = [object_of({key: rows}, chosen) for key in ("instances", "inputs")]
    return Named("TensorFlowRequest", {"oneOf": forms})


def _answer(road: Road) -> Named:
    values = {"anyOf": [schemas.output(output) for output in road.version.outputs]}
    forms = [object_of({key: values}) for key in ("predictions", "outputs")]
    return Named("TensorFlowAnswer", {"oneOf": forms})
