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
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Traffic
from autodeploy_magic.errors import RequestRefused, Unavailable
from autodeploy_magic.serve.http.digested import Digested
from autodeploy_magic.serve.lineup.orders import Place
from autodeploy_magic.serve.outbox import Outbox
from autodeploy_magic.serve.record import Recorder
from autodeploy_magic.serve.usage import Usage

if TYPE_CHECKING:
    from autodeploy_magic.metrics.resources import Resources
    from autodeploy_magic.serve.http.app import App, Message, Receive, Scope, Send
    from autodeploy_magic.serve.lineup.versions import Versions
    from autodeploy_magic.serve.sampling import Sampling

__all__ = ["ITEMS", "KEY", "ROWS", "Pull", "PullItems", "Replica"]

log = logging.getLogger(__name__)

ROWS = "/-/rows"
"""Where the roll-ups of all replicas are fetched, with the token: `?after=CURSOR`."""
ITEMS = "/-/recorded"
"""Where what all replicas have recorded of requests is fetched: `?after=CURSOR&most=BYTES`.

Not with the token, which clients have, but with a secret that the deployment's keeper alone has. The key of hashes
comes in the header `KEY`, in hexadecimal digits: it is in no file of the cluster and on no page.
"""
KEY = "autodeploy-record-key"
MOST_BYTES = 2 * 1024 * 1024
"""Of records in one answer, about."""
_TICK_LATE_S = 0.02
USED_S = 20
"""Seconds of what the process took that are told again and again: so long nobody may fetch them, and none is missed."""

Pull = Callable[[str], Awaitable[dict[str, Any]]]
"""What was recorded after a cursor, as JSON values; see `mailbox`."""
PullItems = Callable[[str, int, str], Awaitable[dict[str, Any]]]
"""See `Mailbox.pull_items`."""


class Replica:
    """The app of the version in `folder`. `worker` is its number in the records, `threads` what a run may use.

    `file` is where it records what it did; whoever collects reads it there. `digests` are those of the good tokens, and
    may be changed at any time; until there are some, nobody is let in.

    With `records` it keeps some requests, and takes labels, in `outbox`, for whoever collects that; `keeper` is the
    digest of the secret that they are fetched with. Where columns are hashed it waits for the `record_key`, which may
    be set by any thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        number: int,
        worker: int,
        threads: int,
        options: Mapping[str, bool | float | int | str],
        records: bool = False,
    ) -> None:
        for name, value in options.items():
            settings.set_option(name, value)
        self.pull: Pull | None = None
        self.pull_items: PullItems | None = None
        self.outbox = Outbox()
        self.record_key = b""
        self._records = records
        self._sampling: Sampling | None = None
        self.ended: Callable[[], None] = lambda: None
        self._own = Path(tempfile.mkdtemp(prefix="autodeploy-"))
        self.file = self._own / "metrics.sqlite"
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self._own)
        self._recorder = Recorder(self.file, worker=worker)
        self._usage = Usage()
        self._used: deque[Resources] = deque(maxlen=USED_S)
        self._keeper = Digested()
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

    @property
    def keeper(self) -> str:
        """The digest of the secret that records of requests are fetched with; "" lets nobody."""
        return next(iter(self._keeper.digests), "")

    @keeper.setter
    def keeper(self, digest: str) -> None:
        self._keeper.digests = (digest,) if digest else ()

    @property
    def unrecorded(self) -> int:
        """Requests that were taken to be recorded and given up."""
        return self.outbox.lost + (self._sampling.dropped if self._sampling is not None else 0)

    def oldest_s(self) -> float:
        """For how long the oldest request has been under way."""
        return self._versions.oldest_s()

    def used(self) -> list[Resources]:
        """What this process took in its last seconds, oldest first. Called about once a second, by one thread.

        Each row ends with the second that is over; called soon after a second begins, it tells of that one alone.
        """
        row = self._usage.look()
        second = int(time.time()) - 1
        if row is not None and (not self._used or self._used[-1].second < second):
            self._used.append(row._replace(second=second))
        return list(self._used)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            scope = _below(scope)
            if scope["path"] in (ROWS, ITEMS) and scope["method"] == "GET":
                await self._collected(scope, send)
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
        versions = Versions(
            threads=threads,
            exposition=exposition,
            worker=worker,
            requests=self.outbox.add if self._records else None,
        )
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
        self._record()
        ticking = asyncio.create_task(self._tick())
        try:
            await self._app(scope, receive, send)
        finally:
            ticking.cancel()
            self._versions.close()
            self._recorder.close()
            if self._sampling is not None:
                self._sampling.close()
            await asyncio.to_thread(self.ended)
            shutil.rmtree(self._own, ignore_errors=True)

    async def _tick(self) -> None:
        """Hand over each second soon after it is over."""
        while True:
            await asyncio.sleep(1.0 - time.time() % 1.0 + _TICK_LATE_S)
            self._recorder.tick()
            self._versions.tick()
            self._record()

    def _record(self) -> None:
        """Hand over the requests of a second; begin to take some, once that may be done."""
        if self._sampling is not None:
            self._sampling.tick()
        elif self._records and (self.record_key or not settings.get("record_hash")):
            self._sampling = self._app.front.sampling = recording(self.outbox, self.record_key)
            self._records = self._sampling is not None
            if self._sampling is not None:
                self._sampling.start()

    async def _collected(self, scope: Scope, send: Send) -> None:
        try:
            guard = self._guard if scope["path"] == ROWS else self._keeper
            guard.authorize(dict(scope["headers"]))
            query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
            key = dict(scope["headers"]).get(KEY.encode(), b"").decode("latin-1")
            pull = self._pull_rows if scope["path"] == ROWS else self._pull_items
            status, answer = 200, await pull(query.get("after", ""), query.get("most", ""), key)
        except RequestRefused as error:
            status, answer = error.status, {"error": type(error).__name__, "message": error.what, "fix": error.fix}
        body = msgspec.json.encode(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        with contextlib.suppress(OSError):  # who asked has gone
            await send(start)
            await send({"type": "http.response.body", "body": body})

    async def _pull_rows(self, after: str, _most: str, _key: str) -> dict[str, Any]:
        if self.pull is None:
            raise _uncollected()
        return await self.pull(after)

    async def _pull_items(self, after: str, most: str, key: str) -> dict[str, Any]:
        if self.pull_items is None:
            raise _uncollected()
        size = min(int(most), MOST_BYTES) if most.isdecimal() else MOST_BYTES
        answer = await self.pull_items(after, size, key)
        return {**answer, "items": [(kind, msgspec.Raw(data)) for kind, data in answer["items"]]}


def recording(outbox: Outbox, key: bytes = b"") -> Sampling | None:
    """What keeps a sample of the requests in `outbox`, as the settings have it; None where none is wanted."""
    from autodeploy_magic.serve.redact import Redaction
    from autodeploy_magic.serve.sampling import Sampling

    each_second, share = int(settings.get("record_requests")), float(settings.get("record_share"))
    if each_second <= 0 or share <= 0 or settings.get("record") == "off":
        return None
    return Sampling(outbox, each_second=each_second, share=share, redaction=Redaction.from_settings(Path(), key))


def _uncollected() -> Unavailable:
    return Unavailable("nobody collects what this replica records", fix="deploy it again")


def _below(scope: Scope) -> Scope:
    """The request as it would be if the app stood at the root."""
    root = scope.get("root_path", "")
    if not root:
        return scope
    path: str = scope["path"].removeprefix(root) or "/"
    raw: bytes = (scope.get("raw_path") or b"").removeprefix(root.encode())
    return {**scope, "path": path, "raw_path": raw or (b"/" if path == "/" else b""), "root_path": ""}
