"""The calls about how a deployment does: SLO, alerts, incidents, labels, recovery, drills.

They answer as those of `calls` do.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.reservoir import Label, add_labels, unlabelled
from autodeploy_magic.supervisor.api.answering import at_once, body_of, in_thread, name_of, number_of

if TYPE_CHECKING:
    from autodeploy_magic.supervisor.loop import Loop

__all__ = ["HealthApi"]

Change = Callable[[Request, str, Callable[[str, Report], Awaitable[Any]]], Response]

_MOST_UNLABELLED = 200
_MOST_LABELS = 10_000


class Promise(msgspec.Struct):
    """Body of POST /deployments/NAME/slo."""

    slo: str = ""


class Mode(msgspec.Struct):
    """Body of POST /deployments/NAME/recovery."""

    mode: str


class Silence(msgspec.Struct):
    """Body of POST /deployments/NAME/silence."""

    rule: str = ""
    seconds: float = 3600.0


class RowLabel(msgspec.Struct):
    """The true answer to one row of a request."""

    request: str
    row: int
    label: Any


class Labels(msgspec.Struct):
    """Body of POST /deployments/NAME/feedback."""

    labels: list[RowLabel]


class Drilling(msgspec.Struct):
    """Body of POST /deployments/NAME/drill."""

    kind: str
    seconds: float | None = None


class HealthApi:
    """`change` performs a change of the deployment that the path names, and tells those who watch of it."""

    def __init__(self, loop: Loop, change: Change) -> None:
        self._loop = loop
        self._change = change

    def routes(self) -> list[Route]:
        of = "/deployments/{name}"
        return [
            Route(f"{of}/health", self.health),
            Route(f"{of}/slo", self.slo, methods=["POST"]),
            Route(f"{of}/recovery", self.recovery, methods=["POST"]),
            Route(f"{of}/silence", self.silence, methods=["POST"]),
            Route(f"{of}/alerts/test", self.try_alerts, methods=["POST"]),
            Route(f"{of}/incidents/{{incident}}/act", self.act, methods=["POST"]),
            Route(f"{of}/incidents/{{incident}}/undo", self.undo, methods=["POST"]),
            Route(f"{of}/unlabelled", self.unlabelled),
            Route(f"{of}/feedback", self.feedback, methods=["POST"]),
            Route(f"{of}/drill", self.drill, methods=["POST"]),
            Route(f"{of}/repro", self.repro),
        ]

    async def health(self, request: Request) -> Response:
        found = await self._loop.operating.health(name_of(request))
        return at_once(lambda: msgspec.to_builtins(found))

    async def slo(self, request: Request) -> Response:
        slo = body_of(await request.body() or b"{}", Promise).slo
        return self._change(request, "slo", lambda name, _: self._loop.deployments.promise(name, slo))

    async def recovery(self, request: Request) -> Response:
        mode = body_of(await request.body(), Mode).mode
        return self._change(request, "recovery", lambda name, _: self._loop.deployments.recover(name, mode))

    async def silence(self, request: Request) -> Response:
        body = body_of(await request.body() or b"{}", Silence)
        if not 0 <= body.seconds <= 366 * 24 * 3600.0:
            raise InvalidOption(f"{body.seconds:g} s is no time to be silent for", fix="use 1h to 365d; 0 ends it")
        found = await self._loop.operating.silence(name_of(request), body.rule, body.seconds)
        return at_once(lambda: msgspec.to_builtins(found))

    async def try_alerts(self, request: Request) -> Response:
        return await in_thread(lambda: {"channels": self._loop.operating.try_alerts(name_of(request))})

    async def act(self, request: Request) -> Response:
        incident = str(request.path_params["incident"])
        return self._change(request, "act", lambda name, _: self._loop.operating.recovery.act(name, incident))

    async def undo(self, request: Request) -> Response:
        incident = str(request.path_params["incident"])
        return self._change(request, "undo", lambda name, _: self._loop.operating.recovery.undo(name, incident))

    async def unlabelled(self, request: Request) -> Response:
        most = min(_MOST_UNLABELLED, int(number_of(request, "rows", 20)))
        name = name_of(request)

        def read() -> dict[str, Any]:
            store, desired = self._loop.store, self._loop.deployments.desired(name)
            version = store.version(name, desired.version)
            rows = unlabelled(store.requests_file(name), version.signature, most)
            return {"rows": rows, "classes": self._loop.operating.classes(name)}

        return await in_thread(read)

    async def feedback(self, request: Request) -> Response:
        labels = body_of(await request.body(), Labels).labels
        name = name_of(request)
        if len(labels) > _MOST_LABELS:
            raise InvalidOption(f"{len(labels)} labels at once", fix=f"send {_MOST_LABELS} at most")

        def write() -> dict[str, int]:
            self._loop.deployments.desired(name)
            file = self._loop.store.requests_file(name)
            given = [Label(one.request, one.row, one.label, "panel") for one in labels]
            return add_labels(file, given, time.time())._asdict()

        return await in_thread(write)

    async def drill(self, request: Request) -> Response:
        body = body_of(await request.body(), Drilling)
        return self._change(
            request, "drill", lambda name, report: self._loop.drills.drill(name, body.kind, body.seconds, report)
        )

    async def repro(self, request: Request) -> Response:
        name, incident = name_of(request), request.query_params.get("incident", "")
        return await in_thread(lambda: self._loop.operating.repro(name, incident))
