"""`GET /metrics`: what the deployment measured, for Prometheus; the same whichever worker answers.

In Prometheus' text format 0.0.4, or in OpenMetrics' 1.0 where the client asks for it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autodeploy_magic.errors import RequestRefused, Unavailable
from autodeploy_magic.serve.owner import log_of
from autodeploy_magic.serve.protocols import Answer, Request, Route
from autodeploy_magic.serve.protocols.operation import TEXT, Answered, Content, Operation
from autodeploy_magic.serve.protocols.refusals import IN_FULL, in_full

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["Metrics"]

log = logging.getLogger(__name__)

_PLAIN = "text/plain"
_OPENMETRICS = "application/openmetrics-text"
_CONTENT_TYPES = {
    False: f"{_PLAIN}; version=0.0.4; charset=utf-8",
    True: f"{_OPENMETRICS}; version=1.0.0; charset=utf-8",
}
_VARIES = (b"vary", b"accept")


class Metrics:
    """Gives the page of its road's worker."""

    def __init__(self, road: Road) -> None:
        self._road = road

    def routes(self) -> Sequence[Route]:
        return [Route("GET", "/metrics", self._answer, operation=_operation)]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    async def _answer(self, request: Request) -> Answer:
        openmetrics = _wants_openmetrics(request.headers.get(b"accept", b"").decode("latin-1"))
        try:
            page = await self._road.exposition.page(openmetrics=openmetrics)
        except (sqlite3.Error, OSError) as error:
            log.warning("the metrics cannot be read: %s", error)
            raise Unavailable(
                "the metrics cannot be read now",
                why="the file that holds them could not be read, as the deployment's log tells",
                fix=f"ask again; the owner can see why in {log_of()}",
            ) from error
        return Answer(page, content_type=_CONTENT_TYPES[openmetrics], headers=[_VARIES])


def _operation() -> Operation:
    said = "Counters since the deployment was first served, over all workers; they are a second or two late."
    page = Answered(said, {_PLAIN: Content(TEXT), _OPENMETRICS: Content(TEXT)})
    return Operation("metrics", "about", "Metrics for Prometheus", {200: page}, IN_FULL, refusals=frozenset({503}))


def _wants_openmetrics(accept: str) -> bool:
    """Whether the client would rather have OpenMetrics 1 than plain text."""
    wanted = {_PLAIN: 0.0, _OPENMETRICS: 0.0}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if kind in wanted and (kind == _PLAIN or values.get("version", "1.").startswith("1.")):
            wanted[kind] = max(wanted[kind], _weight(values.get("q", "1")))
    return wanted[_OPENMETRICS] > 0.0 and wanted[_OPENMETRICS] >= wanted[_PLAIN]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
