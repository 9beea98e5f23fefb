"""A version as an ASGI app that stands below a path, served by somebody else's server: a replica in a cluster.

It does what a worker does for a version alone: the same roads, the same guard and the same records. Who runs it calls
the lifespan, through which the records are written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Traffic
from autodeploy_magic.errors import RequestRefused, Unavailable
from autodeploy_magic.serve.http.digested import Digested
from autodeploy_magic.serve.lineup.orders import Place
from autodeploy_magic.serve.record import Recorder

if TYPE_CHECKING:
    from autodeploy_magic.serve.http.app import App, Message, Receive, Scope, Send
    from autodeploy_magic.serve.lineup.versions import Versions

__all__ = ["ROWS", "Pull", "Replica"]

log = logging.getLogger(__name__)

ROWS = "/-/rows"
"""Where the roll-ups of all replicas are fetched, with the token: `?after=CURSOR`."""
_TICK_LATE_S = 0.02

Pull = Callable[[str], Awaitable[dict[str, Any]]]
"""What was recorded after a cursor, as JSON values; see `mailbox`."""


class Replica:
    """The app of the version in `folder`. `worker` is its number in the records, `threads` what a run may use.

    `file` is where it records; whoever collects reads it there. `digests` are those of the good tokens, and may be
    changed at any time; until there are some, nobody is let in.
    """

    def __init__(
        self, folder: Path, *, number: int, worker: int, threads: int, options: Mapping[str, bool | float | int | str]
    ) -> None:
        for name, value in options.items():
            settings.set_option(name, value)
        self.pull: Pull | None = None
        self.ended: Callable[[], None] = lambda: None
        self._own = Path(tempfile.mkdtemp(prefix="autodeploy-"))
        self.file = self._own / "metrics.sqlite"
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._own)
        self._recorder = Recorder(self.file, worker=worker)
        self._guard = Digested(origins=str(settings.get("origins")))
        try:
            self._versions, self._app = self._load(Place(number, str(folder)), threads, worker)
        except BaseException:
            shutil.rmtree(self._own, ignore_errors=True)
            raise

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the tokens that are good now."""
        return self._guard.digests

    @digests.setter
    def digests(self, digests: tuple[str, ...]) -> None:
        self._guard.digests = digests

    def oldest_s(self) -> float:
        """For how long the oldest request has been under way."""
        return self._versions.oldest_s()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            scope = _below(scope)
            if scope["path"] == ROWS and scope["method"] == "GET":
                await self._rows(scope, send)
            else:
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _load(self, place: Place, threads: int, worker: int) -> tuple[Versions, App]:
        from autodeploy_magic.serve.exposition import Exposition
        from autodeploy_magic.serve.http.app import App
        from autodeploy_magic.serve.http.front import Front
        from autodeploy_magic.serve.lineup.versions import Versions

        recording = bool(settings.get("metrics"))
        exposition = Exposition(
            "", loaded=lambda: [road.version for road in versions.lineup.loaded.values()], metrics=self.file,
            recording=recording,
        )  # fmt: skip
        versions = Versions(threads=threads, exposition=exposition, worker=worker)
        lineup = versions.start(place, (), Traffic())
        observe = None
        if recording:
            self._recorder.lanes, self._recorder.held = versions.lane_stats, versions.held
            observe = self._recorder.observe
        front = Front(lineup, self._guard, observe=observe)
        versions.attend(front)
        return versions, App(front)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._recorder.start()
        ticking = asyncio.create_task(self._tick())
        try:
            await self._app(scope, receive, send)
        finally:
            ticking.cancel()
            self._versions.close()
            self._recorder.close()
            await asyncio.to_thread(self.ended)
            shutil.rmtree(self._own, ignore_errors=True)

    async def _tick(self) -> None:
        """Hand over each second soon after it is over."""
        while True:
            await asyncio.sleep(1.0 - time.time() % 1.0 + _TICK_LATE_S)
            self._recorder.tick()
            self._versions.tick()

    async def _rows(self, scope: Scope, send: Send) -> None:
        try:
            self._guard.authorize(dict(scope["headers"]))
            if self.pull is None:
                raise Unavailable("nobody collects what this replica records", fix="deploy it again")
            query = scope.get("query_string", b"").decode("latin-1")
            status, answer = 200, await self.pull(query.removeprefix("after="))
        except RequestRefused as error:
            status, answer = error.status, {"error": type(error).__name__, "message": error.what, "fix": error.fix}
        body = msgspec.json.encode(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        with contextlib.suppress(OSError):  # who asked has gone
            await send(start)
            await send({"type": "http.response.body", "body": body})


def _below(scope: Scope) -> Scope:
    """The request as it would be if the app stood at the root."""
    root = scope.get("root_path", "")
    if not root:
        return scope
    path: str = scope["path"].removeprefix(root) or "/"
    raw: bytes = (scope.get("raw_path") or b"").removeprefix(root.encode())
    return {**scope, "path": path, "raw_path": raw or (b"/" if path == "/" else b""), "root_path": ""}
