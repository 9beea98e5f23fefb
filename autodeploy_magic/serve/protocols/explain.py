"""`POST /explain`: what each column adds to the answer, for each row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.errors import Overloaded, RequestRefused, TimedOut
from autodeploy_magic.serve.explain import Explained, explain
from autodeploy_magic.serve.explain.explain import BACKGROUND_ROWS, Method
from autodeploy_magic.serve.explain.players import is_table
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route, explain_operation
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import in_full
from autodeploy_magic.wire import Batch

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["Explain"]

_MOST_WAITING = 4
"""Requests that may wait for the one that is explained: each may take as long as a request may."""

_encode = msgspec.json.Encoder().encode


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """{"inputs": rows, "method": "auto", "target": class}"""

    inputs: Any
    method: Method = "auto"
    target: int | None = None


class Explain:
    """Explanations of this version, one request after the other.

    The arithmetic has a thread of its own; the model is asked through the version's lane, a few hundred rows at a time,
    so that predictions have their turn in between.
    """

    def __init__(self, road: Road) -> None:
        self._road = road
        self._operation = partial(explain_operation.explain, road)
        self._decoder = msgspec.json.Decoder(Body)
        self._timeout_s = float(settings.get("request_timeout_s"))
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0

    def routes(self) -> Sequence[Route]:
        """None for a model whose rows are no table's: it has nothing to explain them by."""
        if not is_table(self._road.version.signature):
            return []
        return [Route("POST", "/explain", self._explain, frozenset({JSON}), operation=self._operation)]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    async def _explain(self, request: Request) -> Answer:
        body = parse(self._decoder, request.body, 'send {"inputs": [row, …]}')
        served = self._road.served
        rows = served.decode(body.inputs)
        if self._waiting > _MOST_WAITING:
            raise Overloaded("too many explanations are asked for at once", fix="ask again in a few seconds")
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "explain")
        asking = _Asking(self._road, loop, time.monotonic() + self._timeout_s)
        self._waiting += 1
        try:
            found = await loop.run_in_executor(self._thread, self._work, asking, rows, body)
        finally:
            self._waiting -= 1
            asking.over = True  # also where the client went away, and nobody reads what the thread finds
        answer = {**msgspec.to_builtins(found), "id": request.id, "version": served.version.number}
        return Answer(_encode(answer))

    def _work(self, asking: _Asking, rows: Batch, body: Body) -> Explained:
        """In the thread: the arithmetic."""
        return explain(self._road.version, rows, self._background, asking, method=body.method, target=body.target)

    @cached_property
    def _background(self) -> Batch:
        served = self._road.served
        return served.decode(served.sample(BACKGROUND_ROWS))


class _Asking:
    """Asks the model from another thread than the event loop's, until the time is up or nobody waits any more."""

    def __init__(self, road: Road, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        self._road = road
        self._loop = loop
        self._deadline = deadline
        self.over = False

    def __call__(self, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        left = self._deadline - time.monotonic()
        if left <= 0 or self.over:
            raise _too_slow()
        asked = asyncio.run_coroutine_threadsafe(self._run(batch, names), self._loop)
        try:
            return asked.result(left)
        except TimeoutError:
            asked.cancel()
            raise _too_slow() from None

    async def _run(self, batch: Batch, names: Sequence[str]) -> dict[str, Any]:
        found = self._road.lane.run(batch, names)
        return found if isinstance(found, dict) else await found


def _too_slow() -> TimedOut:
    return TimedOut(
        "the explanation was not found in time",
        why="each row costs as much as thousands of predictions",
        fix="send fewer rows, or raise AUTODEPLOY_REQUEST_TIMEOUT_S and restart the deployment",
    )
