"""How a refused request is told: in our own words, field by field, or as the one line that other protocols have."""

from __future__ import annotations

import msgspec

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.bento import error_body
from autodeploy_magic.serve.protocols import Answer
from autodeploy_magic.serve.protocols.operation import Named

__all__ = ["IN_FULL", "IN_ONE_LINE", "in_full", "in_one_line", "one_line", "problem"]


def problem(name: str, *required: str, optional: tuple[str, ...] = ()) -> Named:
    """The schema of a refusal that consists of texts."""
    return Named(
        name,
        {
            "type": "object",
            "properties": {key: {"type": "string"} for key in (*required, *optional)},
            "required": list(required),
            "additionalProperties": False,
        },
    )


IN_FULL = problem("Problem", "error", "message", "id", optional=("field", "why", "fix"))
IN_ONE_LINE = problem("ProblemInOneLine", "error", "id")


def in_full(error: RequestRefused, request_id: str) -> Answer:
    """{"error", "message", "id", "field", "why", "fix"}, as the Bento's own road answers too."""
    return Answer(msgspec.json.encode(error_body(error, request_id)), error.status)


def in_one_line(error: RequestRefused, request_id: str) -> Answer:
    """{"error", "id"}: what the Open Inference Protocol and TensorFlow Serving want."""
    return Answer(msgspec.json.encode({"error": one_line(error), "id": request_id}), error.status)


def one_line(error: RequestRefused) -> str:
    """What happened, why and what to do, without line breaks."""
    return str(error).replace("\n", "; ")
