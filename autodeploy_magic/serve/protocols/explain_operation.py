"""`POST /explain` in `/docs.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodeploy_magic.serve.explain import MOST_ROWS, methods, places_of
from autodeploy_magic.serve.protocols import JSON, examples, schemas
from autodeploy_magic.serve.protocols.operation import (
    TEXT,
    WHOLE,
    Content,
    Named,
    Operation,
    Schema,
    json,
    list_of,
    object_of,
)
from autodeploy_magic.serve.protocols.refusals import IN_FULL

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["explain"]

_NUMBER: Schema = {"type": ["number", "null"]}
"""A model that answers what is no number leaves it open what its columns add."""
_BY_COLUMN: Schema = {"type": "object", "additionalProperties": _NUMBER}


def explain(road: Road) -> Operation:
    """The entry of a version."""
    most = min(MOST_ROWS, road.served.max_rows)
    places = places_of(road.version)
    target: Schema = {"type": ["integer", "null"], "minimum": 0, **({"maximum": places - 1} if places else {})}
    request = object_of(
        {"inputs": Named("RowsToExplain", schemas.inputs(road.served.accepts, most).schema)},
        {"method": {"enum": list(methods())}, "target": target},
        closed=True,
    )
    row = object_of(
        {
            "prediction": {},
            "value": _NUMBER,
            "base": _NUMBER,
            "attributions": _BY_COLUMN,
            "errors": {"anyOf": [_BY_COLUMN, {"type": "null"}]},
            "class": {"type": ["integer", "null"]},
        }
    )
    answer = object_of(
        {
            "explanations": list_of(row),
            "columns": list_of(TEXT),
            "output": {"enum": ["probabilities", "predictions", "agreement"]},
            "method": TEXT,
            "background_rows": WHOLE,
            "id": TEXT,
            "version": WHOLE,
        },
        closed=True,
    )
    sample = examples.sample(road)
    example = {} if sample is None else {"sample": {"inputs": sample.inputs}}
    return Operation(
        "explain",
        "explain",
        "What each column adds to the answer",
        {
            200: json(
                "For each row: the answer, its mean over the sample, and each column's part.",
                Named("ExplainAnswer", answer),
            )
        },
        IN_FULL,
        body={JSON: Content(Named("ExplainRequest", request), example)},
        refusals=frozenset({422, 429, 500, 503, 504}),
        description="Shapley values: the attributions of a row add up to its answer minus the base value.",
    )
