"""`POST /feedback` in `/docs.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodeploy_magic.serve.protocols import JSON
from autodeploy_magic.serve.protocols.operation import TEXT, Content, Named, Operation, Schema, json, object_of
from autodeploy_magic.serve.protocols.refusals import IN_FULL

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["feedback"]

_SCALARS = ["number", "string", "boolean", "null"]
_COUNT: Schema = {"type": "integer", "minimum": 0}


def feedback(road: Road) -> Operation:
    """The entry of a version."""
    most = road.served.max_rows
    label = Named(
        "Label",
        {
            "description": "The true answer to a row; null where it is not known.",
            "type": [*_SCALARS, "array"],
            "items": {"type": _SCALARS},
        },
    )
    of_one: dict[str, Schema | Named] = {
        "id": {**TEXT, "minLength": 1, "maxLength": 200, "description": "the id that the request's answer had"},
        "labels": {
            "type": "array",
            "items": label,
            "maxItems": most,
            "description": "one for each row, in their order",
        },
    }
    one = Named("FeedbackOfOne", object_of(of_one, closed=True))
    several = object_of({"feedback": {"type": "array", "items": one}}, closed=True)
    example = {"id": "the-request's-own", "labels": [None]}
    return Operation(
        "feedback",
        "feedback",
        "The true answers to requests",
        {200: json("How many of the labels were new, changed another, or were known.", _answer())},
        IN_FULL,
        body={JSON: Content(Named("Feedback", {"oneOf": [one, several]}), {"sample": example})},
        refusals=frozenset({422, 503, 504}),
        description=(
            "Labels may come at any time, and again: the newest of a row counts. Unmatched ones belong to no request "
            "that is recorded, and wait for it; recorded is a sample. Stock `bentoml serve` does not offer this."
        ),
    )


def _answer() -> Named:
    names = ("new", "changed", "same", "unmatched")
    return Named("FeedbackAnswer", object_of(dict.fromkeys(names, _COUNT), closed=True))
