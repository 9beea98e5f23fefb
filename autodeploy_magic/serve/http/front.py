"""What every request passes, whichever server or protocol it came by: host, token, route, version; and its record."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from autodeploy_magic import settings
from autodeploy_magic.errors import ModelFailed, NotFound, RequestRefused, TimedOut
from autodeploy_magic.serve.http.exchange import CLIENT_GONE, Exchange, Found, Head, Headers
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.protocols import Answer, Inference
from autodeploy_magic.serve.road import Lineup, Road
from autodeploy_magic.serve.sampled import words_of

if TYPE_CHECKING:
    from autodeploy_magic.serve.sampling import Sampling

__all__ = ["Front", "Observe", "Origin"]

_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)")
_KNOWN = 512
"""Paths, and heads, that are remembered at most; then all are forgotten. Some may be an attacker's, none is large."""


class Observe(Protocol):
    """Told of every recorded answer. `seconds` are from the request's last byte to its answer.

    Of a streamed one they are to its last item, and `first_s` to its first, None where there was none.
    """

    def __call__(
        self,
        version: int,
        status: int,
        seconds: float,
        rows: int,
        bytes_in: int,
        bytes_out: int,
        first_s: float | None = None,
        /,
    ) -> None: ...


class Origin(Protocol):
    """Where a request came from that did not come over HTTP. `headers` are the metadata that its client sent."""

    @property
    def id(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...


class Front:
    """The one entry to a worker's versions. `lineup` may be replaced at any time; requests under way keep theirs.

    `sampling` keeps some of the requests; None where none are kept.
    """

    exchange: type[Exchange] = Exchange

    def __init__(self, lineup: Lineup, guard: Guard, *, observe: Observe | None = None) -> None:
        self.guard = guard
        self.observe = observe
        self.sampling: Sampling | None = None
        self.max_body = int(settings.get("max_body_bytes"))
        self.timeout_s = float(settings.get("request_timeout_s"))
        self._draining = False
        self.heads: dict[bytes, Head] = {}
        self._known: dict[bytes, Found] = {}
        self._ids = secrets.token_hex(10)
        self._count = 0
        self._lineup = lineup

    @property
    def lineup(self) -> Lineup:
        return self._lineup

    @lineup.setter
    def lineup(self, lineup: Lineup) -> None:
        self._lineup = lineup
        self._known.clear()
        self.heads.clear()
        self.draining = self._draining

    @property
    def draining(self) -> bool:
        """Whether the worker is on its way out: every answer closes its connection, and no version is ready."""
        return self._draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._draining = value
        for road in (self._lineup.champion, *self._lineup.loaded.values()):
            road.draining = value

    def open(self, method: str, url: bytes, headers: Headers, *, http_version: str = "1.1") -> Exchange | None:
        """Begin to answer a request whose head has arrived; None where the mounted app is to answer it.

        `url` is the path and query as they were sent, `headers` have lower-case names.
        """
        self._count += 1
        by_name = dict(headers)
        if len(by_name) != len(headers):
            by_name = _joined(headers)
        if url[:4] == b"http":
            url, by_name = _origin_form(url, by_name)
        exchange = self.exchange(self, f"{self._ids}{self._count:012x}", by_name)
        try:
            self.guard.check_host(by_name, http_version=http_version)
            mounted = exchange.begin(method, self._known.get(url) or self._find(url))
        except RequestRefused as error:
            exchange.refuse(error)
            return exchange
        return None if mounted else exchange

    def again(self, head: Head) -> Exchange:
        """Begin to answer a request whose head is known from `heads`."""
        self._count += 1
        exchange = self.exchange(self, f"{self._ids}{self._count:012x}", head.headers)
        try:
            exchange.begin_again(head)
        except RequestRefused as error:
            exchange.refuse(error)
        return exchange

    def remember(self, sent: bytes, head: Head) -> None:
        """Know the head `sent` when it comes again."""
        if len(self.heads) >= _KNOWN:
            self.heads.clear()
        self.heads[sent] = head

    async def infer(
        self, version: int | None, read: Callable[[Road], Inference], *, bytes_in: int, origin: Origin | None = None
    ) -> Answer:
        """Answer rows that came by another way than HTTP, with the same choice of version, limits and record.

        `read` decodes them for the road that is chosen. Raises `RequestRefused`.
        """
        lineup = self._lineup  # held to the end, and its versions with it
        road = self.choose(version, lineup)
        started = time.perf_counter()
        status, rows, bytes_out, waiting = ModelFailed.status, 0, 0, None
        inference, words = None, ""
        try:
            inference = read(road)
            rows = inference.batch.rows
            more = self._sampled(road, inference)
            outputs = road.lane.run(inference.batch, inference.names, more or ())
            if not isinstance(outputs, dict):
                waiting = outputs
                async with asyncio.timeout(self.timeout_s):
                    outputs = await waiting
            if more is not None and self.sampling is not None:
                request_id, seconds = self._id_of(origin), time.perf_counter() - started
                self.sampling.answered(request_id, road, seconds, inference.batch, outputs)
                outputs = {name: outputs[name] for name in inference.names}
            seconds = time.perf_counter() - started
            if version is None and lineup.shadow is not None and road is lineup.champion:
                lineup.shadow.offer(read, inference, outputs, seconds, bytes_in)
            answer = inference.encode(outputs)
            status, bytes_out = answer.status, len(answer.body)
            return answer
        except TimeoutError:
            status, late = TimedOut.status, self.too_slow()
            words = late.what
            raise late from None
        except RequestRefused as error:
            status, words = error.status, words_of(error)
            raise
        except asyncio.CancelledError:
            status = CLIENT_GONE
            raise
        finally:
            if status >= ModelFailed.status and self.sampling is not None:
                batch, seconds = inference.batch if inference is not None else None, time.perf_counter() - started
                self.sampling.failed(self._id_of(origin), road, status, seconds, words, batch=batch)
            self._note(road, status, started, rows, bytes_in, bytes_out, origin, waiting)

    def choose(self, version: int | None, lineup: Lineup | None = None) -> Road:
        """The road of a request that may name a version: that one; else the champion, or the canary for its share."""
        lineup = lineup or self._lineup
        if version is not None:
            return lineup.loaded.get(version, lineup.champion)
        if lineup.canary is not None and random.random() < lineup.share:
            return lineup.canary
        return lineup.champion

    def too_slow(self) -> TimedOut:
        return TimedOut(
            f"the request was not answered within {self.timeout_s:g} s",
            fix="send fewer rows, or raise AUTODEPLOY_REQUEST_TIMEOUT_S and restart the deployment",
        )

    def _sampled(self, road: Road, inference: Inference) -> tuple[str, ...] | None:
        """What else a request is asked for, where it is its turn to be kept; else None."""
        sampling = self.sampling
        if sampling is None:
            return None
        sampling.left -= 1
        return sampling.begin(road, inference.names) if sampling.left < 0 else None

    def _id_of(self, origin: Origin | None) -> str:
        if origin is not None:
            return origin.id
        self._count += 1
        return f"{self._ids}{self._count:012x}"

    def _note(
        self,
        road: Road,
        status: int,
        started: float,
        rows: int,
        bytes_in: int,
        bytes_out: int,
        origin: Origin | None,
        waiting: object,
    ) -> None:
        """Record what `infer` answered; `waiting` is what it waited for, if it did."""
        if self.observe is not None:
            self.observe(road.version.number, status, time.perf_counter() - started, rows, bytes_in, bytes_out)

    def _find(self, url: bytes) -> Found:
        raw, _, query = url.partition(b"?")
        try:
            path = unquote(raw.decode("ascii"), errors="strict")
        except UnicodeDecodeError:
            raise NotFound("the path is not UTF-8", fix="POST /predict") from None
        found = self._lineup.champion.find(path)
        known = Found(path, query, *(found or (None, ())))
        if known.key is not None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[url] = known
        return known


def _origin_form(url: bytes, headers: dict[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """What a request means that names its URL whole, as if to a proxy: its host counts, and not the header's."""
    match = _ABSOLUTE.fullmatch(url)
    if match is None:
        return url, headers
    authority, rest = match.groups()
    return rest if rest.startswith(b"/") else b"/" + rest, {**headers, b"host": authority}


def _joined(headers: Headers) -> dict[bytes, bytes]:
    """Headers by name, those that came several times as one with a comma between, as HTTP has it."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b", " + value if name in found else value
    return found
