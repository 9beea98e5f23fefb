"""The supervisor's calls: JSON over HTTP on a unix socket that only its owner can reach, with a bearer token besides.

Every answer is a stream of JSON lines: {"progress": …} while a step is under way, {"beat": true} every `BEAT_S` so that
a client can tell a slow call from a dead supervisor, and at the end {"result": …} or {"error": …}.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from autodeploy_magic.contracts import Desired, Report
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.live import Activity
from autodeploy_magic.shipping import Shipment, Wanted
from autodeploy_magic.supervisor.api.answering import (
    BEAT_S,
    Operation,
    at_once,
    body_of,
    in_thread,
    lines,
    name_of,
    number_of,
    perform,
    read_body,
    refused,
)
from autodeploy_magic.supervisor.api.health import HealthApi
from autodeploy_magic.supervisor.api.retune import RetuneApi
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.loop import Loop
from autodeploy_magic.supervisor.moves import Tuning
from autodeploy_magic.supervisor.traffic import TrafficChange

__all__ = ["BEAT_S", "make_api"]

log = logging.getLogger(__name__)


class Testing(msgspec.Struct):
    """Body of POST /deployments/NAME/test."""

    rows: int = 1


class Scaling(msgspec.Struct):
    """Body of POST /deployments/NAME/scale."""

    workers: int


class Choice(msgspec.Struct):
    """Body of POST /deployments/NAME/rollback and /promote; without a version the one that is next."""

    version: int | None = None


class Warming(msgspec.Struct):
    """Body of POST /warm."""

    executable: str


class Ending(msgspec.Struct):
    """Body of POST /shutdown."""

    stop_deployments: bool = False
    if_idle: bool = False


def make_api(loop: Loop, token: str) -> ASGIApp:
    """The ASGI app that serves the calls."""
    api = _Api(loop)
    routes = [
        Route("/ping", api.ping),
        Route("/warm", api.warm, methods=["POST"]),
        Route("/jobs", api.job, methods=["POST"]),
        Route("/shutdown", api.shutdown, methods=["POST"]),
        Route("/deployments", api.list),
        Route("/deployments", api.serve, methods=["POST"]),
        Route("/deployments/{name}", api.status),
        Route("/deployments/{name}", api.remove, methods=["DELETE"]),
        Route("/deployments/{name}/start", api.start, methods=["POST"]),
        Route("/deployments/{name}/stop", api.stop, methods=["POST"]),
        Route("/deployments/{name}/restart", api.restart, methods=["POST"]),
        Route("/deployments/{name}/scale", api.scale, methods=["POST"]),
        Route("/deployments/{name}/tune", api.tune, methods=["POST"]),
        Route("/deployments/{name}/rollback", api.roll_back, methods=["POST"]),
        Route("/deployments/{name}/promote", api.promote, methods=["POST"]),
        Route("/deployments/{name}/traffic", api.steer, methods=["POST"]),
        Route("/deployments/{name}/containerize", api.containerize, methods=["POST"]),
        Route("/deployments/{name}/ship", api.ship, methods=["POST"]),
        Route("/deployments/{name}/shipping/cancel", api.cancel, methods=["POST"]),
        Route("/deployments/{name}/targets", api.targets),
        Route("/deployments/{name}/test", api.test, methods=["POST"]),
        Route("/deployments/{name}/logs", api.logs),
        Route("/deployments/{name}/view", api.view),
        Route("/deployments/{name}/series", api.series),
        Route("/deployments/{name}/events", api.events),
        Route("/glances", api.glances),
        Route("/activities", api.activity, methods=["POST"]),
        Route("/live", api.live),
        *HealthApi(loop, api.change).routes(),
        *RetuneApi(loop, api.change).routes(),
    ]
    return _Guard(Starlette(routes=routes, exception_handlers={AutodeployError: refused}), loop, token)


class _Guard:
    """Lets in who has the token, and keeps count of who is being answered."""

    def __init__(self, app: ASGIApp, loop: Loop, token: str) -> None:
        self._app = app
        self._loop = loop
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, self._expected):
            await Response(status_code=401)(scope, receive, send)
            return
        with self._loop.answering():
            await self._app(scope, receive, send)


class _Api:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._deployments = loop.deployments

    async def ping(self, _request: Request) -> Response:
        return at_once(self._loop.describe)

    async def list(self, _request: Request) -> Response:
        return at_once(lambda: [msgspec.to_builtins(status) for status in self._deployments.statuses()])

    async def status(self, request: Request) -> Response:
        return at_once(lambda: msgspec.to_builtins(self._deployments.status(name_of(request))))

    async def logs(self, request: Request) -> Response:
        lines = request.query_params.get("lines", "200")
        return at_once(lambda: self._loop.logs(name_of(request), int(lines) if lines.isdigit() else 200))

    async def warm(self, request: Request) -> Response:
        body = await request.body()
        return at_once(lambda: self._loop.warm(body_of(body, Warming).executable))

    async def shutdown(self, request: Request) -> Response:
        body = await request.body()
        told = body_of(body, Ending)
        return at_once(lambda: self._loop.end(stop_deployments=told.stop_deployments, if_idle=told.if_idle))

    async def glances(self, _request: Request) -> Response:
        return at_once(lambda: msgspec.to_builtins(self._loop.showing.glances()))

    async def view(self, request: Request) -> Response:
        return await in_thread(lambda: self._loop.showing.view(name_of(request)))

    async def events(self, request: Request) -> Response:
        seconds = number_of(request, "seconds", 24 * 3600.0)
        return await in_thread(lambda: self._loop.showing.events(name_of(request), seconds))

    async def series(self, request: Request) -> Response:
        seconds, points = number_of(request, "seconds", 300.0), int(number_of(request, "points", 300))
        until = number_of(request, "until", 0.0) or None
        return await in_thread(lambda: self._loop.showing.series(name_of(request), seconds, points, until))

    async def test(self, request: Request) -> Response:
        body = await request.body()
        return await in_thread(lambda: self._loop.showing.test(name_of(request), body_of(body or b"{}", Testing).rows))

    async def activity(self, request: Request) -> Response:
        body = await request.body()
        return at_once(lambda: self._loop.showing.activities.tell(body_of(body, Activity)))

    async def live(self, request: Request) -> Response:
        names = request.query_params.get("names")
        messages = self._loop.showing.broadcast.watch(names.split(",") if names else None)
        lines = (msgspec.json.encode(message) + b"\n" async for message in messages)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def serve(self, request: Request) -> Response:
        body, fresh = await request.body(), "fresh" in request.query_params
        desired = body_of(body, Desired)
        # Whoever builds tells of the whole deploy, of which this is a step.
        return self._to_the_end(lambda report: self._deployments.serve(desired, report, fresh=fresh))

    async def steer(self, request: Request) -> Response:
        change = await read_body(request, TrafficChange)
        return self.change(request, "traffic", lambda name, report: self._deployments.steer(name, change, report))

    async def scale(self, request: Request) -> Response:
        tuning = Tuning(workers=(await read_body(request, Scaling)).workers)
        return self.change(request, "scale", lambda name, report: self._deployments.tune(name, tuning, report))

    async def tune(self, request: Request) -> Response:
        tuning = await read_body(request, Tuning)
        return self.change(request, "tune", lambda name, report: self._deployments.tune(name, tuning, report))

    async def roll_back(self, request: Request) -> Response:
        version = (await read_body(request, Choice)).version
        return self.change(request, "rollback", lambda name, report: self._deployments.roll_back(name, version, report))

    async def promote(self, request: Request) -> Response:
        version = (await read_body(request, Choice)).version
        return self.change(request, "promote", lambda name, report: self._deployments.promote(name, version, report))

    async def containerize(self, request: Request) -> Response:
        wanted = await read_body(request, Wanted)
        desired = self._deployments.desired
        shipping = self._loop.shipping
        return self.change(
            request, "containerize", lambda name, report: shipping.containerize(desired(name), wanted, report)
        )

    async def ship(self, request: Request) -> Response:
        order = await read_body(request, Shipment)
        desired = self._deployments.desired
        return self.change(request, "ship", lambda name, report: self._loop.shipping.ship(desired(name), order, report))

    async def cancel(self, request: Request) -> Response:
        name = self._deployments.desired(name_of(request)).name
        return self._to_the_end(lambda _: self._loop.shipping.cancel(name))

    async def targets(self, request: Request) -> Response:
        name, shipping = name_of(request), self._loop.shipping
        return self._while_asked(lambda _: shipping.offer(self._deployments.desired(name)))

    async def start(self, request: Request) -> Response:
        return self.change(request, "start", self._deployments.start)

    async def restart(self, request: Request) -> Response:
        return self.change(request, "restart", self._deployments.restart)

    async def stop(self, request: Request) -> Response:
        return self.change(request, "stop", lambda name, _: self._deployments.stop(name))

    async def remove(self, request: Request) -> Response:
        return self.change(request, "remove", lambda name, _: self._remove(name))

    async def job(self, request: Request) -> Response:
        body = await request.body()
        return self._while_asked(lambda _: run_job(self._loop.zygotes, body_of(body, Job)))

    async def _remove(self, name: str) -> None:
        self._loop.operating.forget(name)
        await self._loop.retunes.forget(name)
        await self._loop.shipping.forget(name)
        self._loop.showing.remove(name)
        await self._deployments.remove(name)

    def change(self, request: Request, title: str, operation: Callable[[str, Report], Awaitable[Any]]) -> Response:
        """Perform a change of the deployment that the path names, and tell those who watch of it."""
        name = name_of(request)
        return self._to_the_end(self._noted(name, title, lambda report: operation(name, report)))

    def _while_asked(self, operation: Operation) -> Response:
        """Perform what changes nothing, and is of no use when its client goes away."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        task = asyncio.create_task(perform(operation, queue))
        return StreamingResponse(lines(queue, whose=task), media_type="application/x-ndjson")

    def _to_the_end(self, operation: Operation) -> Response:
        """Perform a change that is finished whether or not its client stays: no half of it is left behind."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop.keep(asyncio.create_task(perform(operation, queue)))
        return StreamingResponse(lines(queue), media_type="application/x-ndjson")

    def _noted(self, name: str, title: str, operation: Operation) -> Operation:
        """The operation, told to those who watch while it is under way."""

        async def perform(report: Report) -> Any:
            running = self._loop.showing.activities.begin(name, f"{title} {name}")
            try:
                result = await operation(running.report(report))
            except BaseException as error:
                running.end(error)
                raise
            else:
                running.end()
                return result
            finally:
                self._loop.showing.broadcast.refresh()

        return perform
