"""The Open Inference Protocol's entries in `/docs.json`."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.protocols import JSON
from autodeploy_magic.serve.protocols.operation import (
    TEXT,
    TRUTH,
    WHOLE,
    Answered,
    Content,
    Named,
    Operation,
    json,
    list_of,
    object_of,
)
from autodeploy_magic.serve.protocols.refusals import IN_ONE_LINE
from autodeploy_magic.serve.protocols.tensors import DATATYPES
from autodeploy_magic.serve.road import Road

__all__ = [
    "MISSING_MODEL",
    "all_statistics",
    "config",
    "index",
    "live",
    "load",
    "metadata",
    "model_ready",
    "of_model",
    "operation",
    "ready",
    "server",
    "statistics",
    "unload",
]

_TAG = "Open Inference Protocol v2"
_MODEL = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
MISSING_MODEL = frozenset({404})


def of_model(end: str = "") -> tuple[str, ...]:
    """The paths of something that a model has, and each of its versions."""
    return tuple(f"{path}{end}" for path in _MODEL)


def operation(name: str, summary: str, answers: dict[int, Answered], **more: Any) -> Operation:
    """An operation of this protocol."""
    return Operation(f"v2_{name}", _TAG, summary, answers, IN_ONE_LINE, **more)


_READY = Named("Ready", object_of({"ready": TRUTH}))
_MODEL_READY = Named("ModelReady", object_of({"name": TEXT, "ready": TRUTH}))
_TENSOR = Named(
    "TensorMetadata", object_of({"name": TEXT, "datatype": {"enum": list(DATATYPES)}, "shape": list_of(WHOLE)})
)
_DURATION = Named("Duration", object_of({"count": WHOLE, "ns": WHOLE}))
_STATISTICS = Named(
    "Statistics",
    object_of(
        {
            "model_stats": list_of(
                object_of(
                    {"name": TEXT, "version": TEXT},
                    {
                        "last_inference": {"type": "integer", "description": "milliseconds since 1970, UTC"},
                        "inference_count": {"type": "integer", "description": "rows that were answered"},
                        "execution_count": {"type": "integer", "description": "runs of the model"},
                        "inference_stats": object_of(
                            dict.fromkeys(("success", "fail", "queue", "compute_infer"), _DURATION)
                        ),
                        "batch_stats": list_of(
                            object_of({"batch_size": WHOLE, "compute_infer": object_of({"count": WHOLE})})
                        ),
                    },
                )
            )
        }
    ),
)


_NUMBERS = {**list_of({**WHOLE, "minimum": 1}), "minItems": 1}
_POLICY = Named(
    "VersionPolicy",
    {
        "oneOf": [
            object_of({"specific": object_of({"versions": _NUMBERS})}, closed=True),
            object_of({"latest": object_of({}, {"num_versions": {**WHOLE, "minimum": 1}})}, closed=True),
            object_of({"all": {"type": "object"}}, closed=True),
        ]
    },
)


def server() -> Operation:
    """`GET /v2`."""
    schema = object_of({"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)})
    return operation("server", "The server and its extensions", {200: json("What answers here.", schema)})


def live() -> Operation:
    """`GET /v2/health/live`."""
    return operation("live", "Whether the server runs", {200: json("It does.", object_of({"live": {"const": True}}))})


def ready() -> Operation:
    """`GET /v2/health/ready`."""
    answers = {200: json("It is.", _READY), 503: json("It is on its way out.", _READY)}
    return operation("ready", "Whether the server is ready", answers)


def model_ready() -> Operation:
    """`GET /v2/models/NAME/ready`."""
    answers = {200: json("It is.", _MODEL_READY), 503: json("It is on its way out.", _MODEL_READY)}
    return operation(
        "model_ready", "Whether a version is ready", answers, paths=of_model("/ready"), refusals=MISSING_MODEL
    )


def metadata() -> Operation:
    """`GET /v2/models/NAME`."""
    schema = object_of(
        {
            "name": TEXT,
            "versions": list_of(TEXT),
            "platform": TEXT,
            "inputs": list_of(_TENSOR),
            "outputs": list_of(_TENSOR),
        }
    )
    answer = json("The inputs and outputs, and the versions that answer.", schema)
    return operation("metadata", "The model's tensors", {200: answer}, paths=of_model(), refusals=MISSING_MODEL)


def config() -> Operation:
    """`GET /v2/models/NAME/config`."""
    tensor = object_of({"name": TEXT, "data_type": TEXT, "dims": list_of(WHOLE)})
    schema = object_of(
        {
            "name": TEXT,
            "platform": TEXT,
            "max_batch_size": WHOLE,
            "version_policy": {"type": "object"},
            "input": list_of(tensor),
            "output": list_of(tensor),
        }
    )
    answer = json("As Triton's ModelConfig has it.", schema)
    return operation(
        "config", "The model's configuration", {200: answer}, paths=of_model("/config"), refusals=MISSING_MODEL
    )


def all_statistics() -> Operation:
    """`GET /v2/models/stats`."""
    answer = json("What is not known is left out. The last second or two may be missing.", _STATISTICS)
    return operation("all_statistics", "What every version answered so far", {200: answer})


def statistics() -> Operation:
    """`GET /v2/models/NAME/stats`."""
    answer = json("What is not known is left out. The last second or two may be missing.", _STATISTICS)
    return operation(
        "statistics",
        "What a version answered so far",
        {200: answer},
        paths=of_model("/stats"),
        refusals=MISSING_MODEL,
    )


def index() -> Operation:
    """`POST /v2/repository/index`."""
    version = object_of({"name": TEXT, "version": TEXT, "state": {"enum": ["READY", "UNAVAILABLE"]}, "reason": TEXT})
    body = {JSON: Content(object_of({}, {"ready": TRUTH}), {"those that answer": {"ready": True}})}
    return operation(
        "index",
        "All versions that are kept",
        {200: json("Each version, oldest first, and whether it answers.", list_of(version))},
        body=body,
        refusals=frozenset({422}),
        needs_body=False,
    )


def load(road: Road) -> Operation:
    """`POST /v2/repository/models/NAME/load`."""
    policy = '{"version_policy": {"specific": {"versions": ["%d"]}}}' % road.version.number  # noqa: UP031 - braces
    config = {**TEXT, "contentMediaType": JSON, "contentSchema": object_of({}, {"version_policy": _POLICY})}
    schema = object_of({}, {"parameters": object_of({}, {"config": config}, closed=True)})
    return operation(
        "load",
        "Have other versions answer besides",
        {200: json("They answer.", object_of({"name": TEXT, "load": {"const": True}}))},
        body={JSON: Content(schema, {"one version": {"parameters": {"config": policy}}})},
        paths=("/v2/repository/models/{name}/load",),
        refusals=frozenset({404, 422, 503}),
        needs_body=False,
        description=(
            "`config` is a Triton model configuration as a JSON text, of which `version_policy` is read: specific, "
            "latest or all. Without it nothing changes: the version that serves is loaded anyhow."
        ),
    )


def unload() -> Operation:
    """`POST /v2/repository/models/NAME/unload`."""
    schema = object_of({}, {"parameters": {"type": "object"}})
    return operation(
        "unload",
        "Let the version that serves answer alone",
        {
            200: json("The others do not answer any more.", object_of({"name": TEXT, "unload": {"const": True}})),
            RequestRefused.status: json("There is no other, and the one that serves stays.", IN_ONE_LINE),
        },
        body={JSON: Content(schema, {"all others": {}})},
        paths=("/v2/repository/models/{name}/unload",),
        refusals=frozenset({404, 422, 503}),
        needs_body=False,
    )
