"""`/livez`, `/readyz`, `/healthz`: what orchestrators and load balancers ask. No token, and nothing told but that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.protocols import Answer, Request, Route
from autodeploy_magic.serve.protocols.operation import Operation, Schema, json, object_of
from autodeploy_magic.serve.protocols.refusals import IN_FULL, in_full

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["Health"]


class Health:
    """Alive while it answers; ready until it drains."""

    def __init__(self, road: Road) -> None:
        self._road = road

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/livez", self._live, open=True, operation=_live_operation),
            Route("GET", "/readyz", self._ready, open=True, operation=partial(_ready_operation, "readyz")),
            Route("GET", "/healthz", self._ready, open=True, operation=partial(_ready_operation, "healthz")),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    def _live(self, _: Request) -> Answer:
        return Answer(b'{"status":"alive"}')

    def _ready(self, _: Request) -> Answer:
        if self._road.draining:
            return Answer(b'{"status":"draining"}', 503)
        return Answer(b'{"status":"ready"}')


def _status(word: str) -> Schema:
    return object_of({"status": {"const": word}})


def _live_operation() -> Operation:
    return Operation("livez", "health", "Whether it runs", {200: json("It does.", _status("alive"))}, IN_FULL)


def _ready_operation(name: str) -> Operation:
    answers = {200: json("It is.", _status("ready")), 503: json("It is on its way out.", _status("draining"))}
    return Operation(name, "health", "Whether it is ready for requests", answers, IN_FULL)
