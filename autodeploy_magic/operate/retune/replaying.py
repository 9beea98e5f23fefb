"""A recorded trace against a URL, as a job: each request at its own time, whatever became of those before it.

An open loop: a client that waited for answers would ask less just when the deployment is slow, and see nothing of it
(coordinated omission; G. Tene, "How NOT to Measure Latency"). Seconds count from when a request was to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from autodeploy_magic.contracts import Signature
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.operate.retune.search.search import Outcome, percentile
from autodeploy_magic.operate.retune.trace import Arrival

__all__ = ["main"]

CONNECTIONS = 256
"""At most; a request for which none is free waits for one."""
_BODIES = 32
"""Different bodies of one size, at most."""
_BODIES_BYTES = 64 * 1024 * 1024
_STARTS_S = 0.05
_WARM = 8
_UNANSWERED = "no answer in time"


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Replay "trace" ([[seconds, rows], …]) against "url", with "token" ("" for none); an `Outcome` as JSON values.

    "rows" is a file of `Rows`, of which requests are made, and "signature" theirs. "limit_s" is how long an answer may
    take: one that has not come by then counts as failed. The whole takes no longer than "within_s".
    """
    trace = [Arrival(float(at_s), int(rows)) for at_s, rows in spec["trace"]]
    rows = Rows.read(Path(spec["rows"]), msgspec.convert(spec["signature"], Signature))
    requests = _requests(rows, trace, spec["url"], spec.get("token", ""), random.Random(int(spec.get("seed", 0))))
    client = _Client(spec["url"], float(spec["limit_s"]))
    outcome = asyncio.run(client.replay(trace, requests, float(spec["within_s"])))
    return msgspec.to_builtins(outcome)  # type: ignore[no-any-return]


def _requests(rows: Rows, trace: Sequence[Arrival], url: str, token: str, chance: random.Random) -> list[bytes]:
    """The bytes of each request: as many rows as it had, from a place of its own among those that were recorded."""
    made: dict[int, list[bytes]] = {}
    counts = Counter(arrival.rows for arrival in trace)
    room = _BODIES_BYTES // max(1, len(counts))
    for size, count in counts.items():
        bodies: list[bytes] = []
        while len(bodies) < min(_BODIES, count) and (not bodies or sum(map(len, bodies)) + len(bodies[0]) <= room):
            start = chance.randrange(rows.count)
            inputs = rows.taken([(start + i) % rows.count for i in range(size)]).inputs
            bodies.append(_request(url, token, msgspec.json.encode({"inputs": inputs})))
        made[size] = bodies
    return [chance.choice(made[arrival.rows]) for arrival in trace]


def _request(url: str, token: str, body: bytes) -> bytes:
    lines = [
        "POST /predict HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([f"Authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Client:
    """Keeps connections, and notes how long each answer took."""

    def __init__(self, url: str, limit_s: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._limit_s = limit_s
        self._idle: deque[_Connection] = deque()
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._seconds: list[float] = []
        self._late: list[float] = []
        self._failed = 0
        self._worst: Counter[str] = Counter()

    async def replay(self, trace: Sequence[Arrival], requests: Sequence[bytes], within_s: float) -> Outcome:
        """Send all of it; what has no answer when the time is over has failed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        for request in requests[:_WARM]:  # a first request pays for what later ones do not
            await self._warm(request, min(self._limit_s, max(0.1, (end - loop.time()) / 4)))
        start = loop.time() + _STARTS_S
        tasks: list[asyncio.Task[None]] = []
        for arrival, request in zip(trace, requests, strict=True):
            due = start + arrival.at_s
            if due >= end:
                break
            if due > loop.time():
                await asyncio.sleep(due - loop.time())  # open loop: it is the clock that is waited for
            self._late.append(max(0.0, loop.time() - due))
            tasks.append(asyncio.create_task(self._send(request, due)))
        if tasks:
            _, unanswered = await asyncio.wait(tasks, timeout=max(0.0, min(self._limit_s, end - loop.time())))
            for task in unanswered:
                task.cancel()
            await asyncio.gather(*unanswered, return_exceptions=True)
        for connection in self._idle:
            connection.close()
        return self._outcome()

    def _outcome(self) -> Outcome:
        seconds, late = sorted(self._seconds), sorted(self._late)
        return Outcome(
            requests=len(seconds),
            failed=self._failed,
            unanswered=self._worst[_UNANSWERED],
            p50_s=percentile(seconds, 0.5),
            p95_s=percentile(seconds, 0.95),
            p99_s=percentile(seconds, 0.99),
            limit_s=self._limit_s,
            late_s=percentile(late, 0.95),
            worst="; ".join(f"{count} × {what}" for what, count in self._worst.most_common(3)),
        )

    async def _warm(self, request: bytes, within_s: float) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(within_s):
                await self._answer(request)

    async def _send(self, request: bytes, due: float) -> None:
        loop = asyncio.get_running_loop()
        what = _UNANSWERED
        try:
            async with asyncio.timeout_at(due + self._limit_s), self._room:
                status = await self._answer(request)
            if status < 400:
                self._seconds.append(loop.time() - due)
                return
            what = f"status {status}"
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._fail(what)
            raise
        except (OSError, ValueError) as error:
            what = type(error).__name__
        self._fail(what)

    def _fail(self, what: str) -> None:
        self._seconds.append(self._limit_s)
        self._failed += 1
        self._worst[what] += 1

    async def _answer(self, request: bytes) -> int:
        connection = self._idle.popleft() if self._idle else await self._connect()
        try:
            status = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.usable:
            self._idle.append(connection)  # to the end: all of them are used by turns, and with them all workers
        return status

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One connection that is kept: a request at a time, and of its answer the status."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._data = bytearray()
        self._head = -1

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, request: bytes) -> int:
        """Send it and wait for the whole answer. Raises `OSError` where the connection ends first."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._data.clear()
        self._transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head = self._data.find(b"\r\n\r\n")
        if head < 0 or self._answer is None or self._answer.done():
            return
        try:
            status, length, kept = _head(bytes(self._data[:head]))
        except ValueError as error:
            self._answer.set_exception(error)
            return
        if length < 0:
            if not self._data.endswith(b"0\r\n\r\n"):
                return  # a stream: its last chunk is empty
        elif len(self._data) < head + 4 + length:
            return
        if not kept:
            self.close()
        self._answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the connection was closed"))


def _head(data: bytes) -> tuple[int, int, bool]:
    """Status, length of the body (-1: in chunks), and whether the connection is kept. Raises `ValueError`."""
    first, *lines = data.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(":", 1) for line in lines if ":" in line)
    status = int(first.split(" ", 2)[1])
    chunked = "chunked" in headers.get("transfer-encoding", "")
    length = -1 if chunked else int(headers.get("content-length", "0"))
    return status, length, headers.get("connection", "").strip() != "close"
