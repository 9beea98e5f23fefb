"""The calls about re-tunes, and about the data that they are made with. They answer as those of `calls` do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from autodeploy_magic.contracts import Report
from autodeploy_magic.retuning import Order
from autodeploy_magic.supervisor.api.answering import in_thread, name_of, read_body

if TYPE_CHECKING:
    from autodeploy_magic.supervisor.loop import Loop

__all__ = ["RetuneApi"]

Change = Callable[[Request, str, Callable[[str, Report], Awaitable[Any]]], Response]


class Taking(msgspec.Struct):
    """Body of POST /deployments/NAME/retunes/ID/take."""

    contender: str


class Forgetting(msgspec.Struct):
    """Body of POST /deployments/NAME/data/forget."""

    before_s: float | None = None


class RetuneApi:
    """`change` performs a change of the deployment that the path names, and tells those who watch of it."""

    def __init__(self, loop: Loop, change: Change) -> None:
        self._loop = loop
        self._change = change

    def routes(self) -> list[Route]:
        of = "/deployments/{name}"
        one = f"{of}/retunes/{{key}}"
        return [
            Route(f"{of}/retune", self.retune, methods=["POST"]),
            Route(f"{of}/retunes", self.known),
            Route(one, self.one),
            Route(f"{one}/cancel", self.cancel, methods=["POST"]),
            Route(f"{one}/take", self.take, methods=["POST"]),
            Route(f"{one}/undo", self.undo, methods=["POST"]),
            Route(f"{of}/data/forget", self.forget, methods=["POST"]),
        ]

    async def retune(self, request: Request) -> Response:
        order = await read_body(request, Order)
        return self._change(request, "re-tune", lambda name, report: self._loop.retunes.retune(name, order, report))

    async def known(self, request: Request) -> Response:
        return await in_thread(lambda: self._loop.retunes.known(name_of(request)))

    async def one(self, request: Request) -> Response:
        return await in_thread(lambda: self._loop.retunes.one(name_of(request), key_of(request)))

    async def cancel(self, request: Request) -> Response:
        key = key_of(request)
        return self._change(request, "cancel", lambda name, _: self._loop.retunes.cancel(name, key))

    async def take(self, request: Request) -> Response:
        key, contender = key_of(request), (await read_body(request, Taking)).contender
        return self._change(
            request, "promote", lambda name, report: self._loop.retunes.take(name, key, contender, report)
        )

    async def undo(self, request: Request) -> Response:
        key = key_of(request)
        return self._change(request, "undo", lambda name, report: self._loop.retunes.undo(name, key, report))

    async def forget(self, request: Request) -> Response:
        before_s = (await read_body(request, Forgetting)).before_s
        return await in_thread(lambda: self._loop.retunes.forget_data(name_of(request), before_s))


def key_of(request: Request) -> str:
    """The re-tune that the path names."""
    return str(request.path_params["key"])
