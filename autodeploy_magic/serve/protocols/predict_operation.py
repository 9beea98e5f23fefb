"""`POST /predict` in `/docs.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodeploy_magic.serve.protocols import JSON, examples, schemas
from autodeploy_magic.serve.protocols.events import EVENTS
from autodeploy_magic.serve.protocols.operation import (
    BYTES,
    TEXT,
    WHOLE,
    Answered,
    Content,
    Named,
    Operation,
    Parameter,
    object_of,
)
from autodeploy_magic.serve.protocols.refusals import IN_FULL
from autodeploy_magic.serve.protocols.tables import TABLES
from autodeploy_magic.wire.pictures import CONTENT_TYPES

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["predict"]

_EVENTS = (
    'Server-sent events: data: {"prediction": …} for each item as it comes, then event: end with the id, the version, '
    "how many items, and the seconds to the last (seconds) and to the first (first_s); or event: error with a Problem."
)


def predict(road: Road) -> Operation:
    """The entry of a version."""
    forms = {form: name for name, form in reversed(TABLES.items())}.values()
    answer = {JSON: _answer(road), **dict.fromkeys(forms, BYTES)}
    description = "A table is one of Arrow's or Parquet's. An answer is a table where Accept asks for one."
    (first, *others) = road.version.signature.columns
    files = () if others else sorted(CONTENT_TYPES.get(first.dtype, ()))
    if files:
        description += " A body that is one file is one row."
    if road.served.streams:
        answer[EVENTS] = Content(Named("PredictEvents", {"type": "string", "description": _EVENTS}))
        description += f" Items come one by one where it asks for {EVENTS}."
    outputs = {"type": "array", "items": {"enum": [output.name for output in road.version.outputs]}}
    return Operation(
        "predict",
        "predict",
        "Predictions for rows",
        {200: Answered("The outputs that were asked for; the predictions where none was named.", answer)},
        IN_FULL,
        body={JSON: _request(road), **dict.fromkeys((*TABLES, *files), BYTES)},
        refusals=frozenset({406}),
        parameters=(Parameter("outputs", "query", "Where the body is a table: the outputs to answer.", outputs),),
        description=description,
    )


def _request(road: Road) -> Content:
    names = [output.name for output in road.version.outputs]
    schema = object_of(
        {"inputs": schemas.inputs(road.served.accepts, road.served.max_rows)},
        {"outputs": {"type": ["array", "null"], "items": {"enum": names}}},
        closed=True,
    )
    sample = examples.sample(road)
    if sample is None:
        return Content(Named("PredictRequest", schema))
    request = {"inputs": sample.inputs}
    return Content(Named("PredictRequest", schema), {"sample": request, "all outputs": {**request, "outputs": names}})


def _answer(road: Road) -> Content:
    version = road.version
    outputs = {output.name: schemas.output(output) for output in version.outputs}
    schema = object_of({"id": TEXT, "version": WHOLE}, outputs, closed=True)
    sample = examples.sample(road)
    if sample is None or len(sample.answers) < len(version.outputs):
        return Content(Named("PredictAnswer", schema))
    answer = {**sample.answers, "id": "the-request's-own", "version": version.number}
    return Content(Named("PredictAnswer", schema), {"all outputs": answer})
