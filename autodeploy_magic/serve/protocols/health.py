"""`/livez`, `/readyz`, `/healthz`: what orchestrators and load balancers ask. No token, and nothing told but that."""

from __future__ import annotations

from collections.abc import Sequence

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.core import Core
from autodeploy_magic.serve.protocols import Answer, Request, Route
from autodeploy_magic.serve.protocols.refusals import in_full

__all__ = ["Health"]


class Health:
    """Alive while it answers; ready until it drains."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/livez", self._live, open=True),
            Route("GET", "/readyz", self._ready, open=True),
            Route("GET", "/healthz", self._ready, open=True),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    async def _live(self, _: Request) -> Answer:
        return Answer(b'{"status":"alive"}')

    async def _ready(self, _: Request) -> Answer:
        if self._core.draining:
            return Answer(b'{"status":"draining"}', 503)
        return Answer(b'{"status":"ready"}')
