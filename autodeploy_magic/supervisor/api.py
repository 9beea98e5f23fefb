"""The supervisor's calls: JSON over HTTP on a unix socket that only its owner can reach, with a bearer token besides.

Every answer is a stream of JSON lines: {"progress": …} while a step is under way, {"beat": true} every `BEAT_S` so that
a client can tell a slow call from a dead supervisor, and at the end {"result": …} or {"error": …}.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from autodeploy_magic.contracts import Desired, Progress, Report, Status
from autodeploy_magic.errors import AutodeployError, InvalidOption, SupervisorFailed
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.loop import Loop
from autodeploy_magic.supervisor.traffic import TrafficChange

__all__ = ["BEAT_S", "make_api"]

log = logging.getLogger(__name__)

BEAT_S = 2.0

Operation = Callable[[Report], Awaitable[Any]]
T = TypeVar("T")


class Warming(msgspec.Struct):
    """Body of POST /warm."""

    executable: str


class Ending(msgspec.Struct):
    """Body of POST /shutdown."""

    stop_deployments: bool = False


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
        Route("/deployments/{name}/traffic", api.steer, methods=["POST"]),
        Route("/deployments/{name}/logs", api.logs),
    ]
    return _Guard(Starlette(routes=routes), loop, token)


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
        return _at_once(self._loop.describe)

    async def list(self, _request: Request) -> Response:
        return _at_once(lambda: [msgspec.to_builtins(status) for status in self._deployments.statuses()])

    async def status(self, request: Request) -> Response:
        return _at_once(lambda: msgspec.to_builtins(self._deployments.status(_name(request))))

    async def logs(self, request: Request) -> Response:
        lines = request.query_params.get("lines", "200")
        return _at_once(lambda: self._loop.logs(_name(request), int(lines) if lines.isdigit() else 200))

    async def warm(self, request: Request) -> Response:
        body = await request.body()
        return _at_once(lambda: self._loop.warm(_body(body, Warming).executable))

    async def shutdown(self, request: Request) -> Response:
        body = await request.body()
        return _at_once(lambda: self._loop.end(stop_deployments=_body(body, Ending).stop_deployments))

    async def serve(self, request: Request) -> Response:
        body, fresh = await request.body(), "fresh" in request.query_params
        return self._to_the_end(lambda report: self._deployments.serve(_body(body, Desired), report, fresh=fresh))

    async def steer(self, request: Request) -> Response:
        body = await request.body()
        return self._to_the_end(
            lambda report: self._deployments.steer(_name(request), _body(body, TrafficChange), report)
        )

    async def start(self, request: Request) -> Response:
        return self._to_the_end(lambda report: self._deployments.start(_name(request), report))

    async def restart(self, request: Request) -> Response:
        return self._to_the_end(lambda report: self._deployments.restart(_name(request), report))

    async def stop(self, request: Request) -> Response:
        return self._to_the_end(lambda _: self._deployments.stop(_name(request)))

    async def remove(self, request: Request) -> Response:
        return self._to_the_end(lambda _: self._deployments.remove(_name(request)))

    async def job(self, request: Request) -> Response:
        body = await request.body()
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        task = asyncio.create_task(_perform(lambda _: run_job(self._loop.zygotes, _body(body, Job)), queue))
        return StreamingResponse(_lines(queue, whose=task), media_type="application/x-ndjson")

    def _to_the_end(self, operation: Operation) -> Response:
        """Perform a change that is finished whether or not its client stays: no half of it is left behind."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._loop.keep(asyncio.create_task(_perform(operation, queue)))
        return StreamingResponse(_lines(queue), media_type="application/x-ndjson")


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def _body(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidOption("the call cannot be read", why=str(error), fix="update autodeploy_magic") from error


def _at_once(call: Callable[[], Any]) -> Response:
    try:
        answer = {"result": call()}
    except AutodeployError as error:
        answer = {"error": error.to_payload()}
    return Response(msgspec.json.encode(answer) + b"\n", media_type="application/x-ndjson")


async def _perform(operation: Operation, queue: asyncio.Queue[bytes]) -> None:
    def report(progress: Progress) -> None:
        queue.put_nowait(_line({"progress": msgspec.to_builtins(progress)}))

    try:
        result = await operation(report)
        answer = {"result": msgspec.to_builtins(result) if isinstance(result, Status) else result}
    except AutodeployError as error:
        answer = {"error": error.to_payload()}
    except asyncio.CancelledError:
        ending = SupervisorFailed("the supervisor was told to end", fix="call again: the next one starts by itself")
        queue.put_nowait(_line({"error": ending.to_payload()}))
        raise
    except Exception as error:  # a mistake of ours must reach the person, and not leave the client waiting
        log.exception("a call failed")
        failure = SupervisorFailed(
            f"the supervisor failed: {type(error).__name__}: {error}",
            why="this is a mistake in autodeploy_magic; supervisor.log in the state folder has the details",
            fix="try again, and please report it",
        )
        answer = {"error": failure.to_payload()}
    queue.put_nowait(_line(answer))


async def _lines(queue: asyncio.Queue[bytes], whose: asyncio.Task[None] | None = None) -> AsyncIterator[bytes]:
    """What `_perform` says, with a beat between. The task `whose` is ended when the client goes away."""
    try:
        while True:
            try:
                line = await asyncio.wait_for(queue.get(), BEAT_S)
            except TimeoutError:
                line = _line({"beat": True})
            yield line
            if line.startswith((b'{"result"', b'{"error"')):
                return
    finally:
        if whose is not None:
            whose.cancel()


def _line(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
