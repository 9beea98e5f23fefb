"""How calls are answered: lines of JSON, whose last is {"result": …} or {"error": …}; how what they bring is read."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from autodeploy_magic.contracts import Progress, Record, Report
from autodeploy_magic.errors import AutodeployError, InvalidOption, SupervisorFailed

__all__ = [
    "BEAT_S",
    "Operation",
    "at_once",
    "body_of",
    "in_thread",
    "lines",
    "name_of",
    "number_of",
    "perform",
    "read_body",
    "refused",
]

log = logging.getLogger(__name__)

BEAT_S = 2.0

Operation = Callable[[Report], Awaitable[Any]]
T = TypeVar("T")


def name_of(request: Request) -> str:
    """The deployment that the path names."""
    return str(request.path_params["name"])


def body_of(body: bytes, kind: type[T]) -> T:
    """A body as a `kind`. Raises `InvalidOption`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidOption("the call cannot be read", why=str(error), fix="update autodeploy_magic") from error


def at_once(call: Callable[[], Any]) -> Response:
    """Answer what a call returns, or raises, without waiting for anything."""
    try:
        answer = {"result": call()}
    except AutodeployError as error:
        answer = {"error": error.to_payload()}
    return _answer(answer)


def _answer(answer: dict[str, Any]) -> Response:
    return Response(_line(answer), media_type="application/x-ndjson")


async def refused(_request: Request, error: Exception) -> Response:
    """What cannot be read is refused in the words of every other refusal."""
    assert isinstance(error, AutodeployError)
    return _answer({"error": error.to_payload()})


async def in_thread(call: Callable[[], Any]) -> Response:
    """Answer what reads files, or asks a deployment: the loop goes on meanwhile."""
    return await asyncio.to_thread(at_once, lambda: msgspec.to_builtins(call()))


async def read_body(request: Request, kind: type[T]) -> T:
    """The body of a request as a `kind`; an empty one has defaults alone. Raises `InvalidOption`."""
    return body_of(await request.body() or b"{}", kind)


def number_of(request: Request, name: str, default: float) -> float:
    """A number of the query. Raises `InvalidOption`."""
    text = request.query_params.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InvalidOption(f"{name}={text} is not a number that can be used", fix=f"leave {name} out: {default:g}")
    return value


async def perform(operation: Operation, queue: asyncio.Queue[bytes]) -> None:
    """Perform an operation and put into the queue, as lines, what it reports and what it ends with."""

    def report(progress: Progress) -> None:
        queue.put_nowait(_line({"progress": msgspec.to_builtins(progress)}))

    try:
        result = await operation(report)
        answer = {"result": msgspec.to_builtins(result) if isinstance(result, Record) else result}
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


async def lines(queue: asyncio.Queue[bytes], whose: asyncio.Task[None] | None = None) -> AsyncIterator[bytes]:
    """What `perform` says, with a beat between. The task `whose` is ended when the client goes away."""
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
