"""One request, from its head to its answer.

Where the version's lane answers at once, so does the exchange: no task and no timer is made. A connection and the ASGI
app are two thin ways to it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from autodeploy_magic.errors import (
    BodyTooLarge,
    MethodNotAllowed,
    ModelFailed,
    NotFound,
    Overloaded,
    RequestRefused,
    Unauthorized,
    UnsupportedContent,
)
from autodeploy_magic.serve.protocols import JSON, Answer, ClientProtocol, Inference, Request, Route, Stream
from autodeploy_magic.serve.road import Road, Routes
from autodeploy_magic.serve.sampled import BODY_BYTES, words_of

if TYPE_CHECKING:
    from autodeploy_magic.serve.http.front import Front
    from autodeploy_magic.serve.lane.source import Source

__all__ = ["CLIENT_GONE", "Exchange", "Found", "Head", "Headers", "Reply"]

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""The status in the record of a request whose client went away before its answer; nginx's number for it."""

_DIGITS = 10
"""Of a version's number: Python refuses to read thousands of them."""
_SHOWN = 200
"""Characters of a path that a refusal repeats."""

Reply = Callable[["Exchange", Answer], None]
Headers = Sequence[tuple[bytes, bytes]]


class Found(NamedTuple):
    """Where a path leads: the key in a road's routes, None where no protocol answers; and its parameters."""

    path: str
    query: bytes
    key: str | None
    params: Sequence[str | None]


class Head:
    """A head that was accepted. The same bytes again ask for the same, and need not be parsed: clients that keep their
    connection send little else. `length` is that of the body.
    """

    __slots__ = ("content_type", "found", "headers", "length", "protocol", "route")

    def __init__(
        self,
        headers: Mapping[bytes, bytes],
        found: Found,
        route: Route,
        protocol: ClientProtocol,
        content_type: str,
        length: int,
    ) -> None:
        self.headers = headers
        self.found = found
        self.route = route
        self.protocol = protocol
        self.content_type = content_type
        self.length = length


class Exchange:
    """One request. `answer` is set where it is refused from its head alone; else `finish` it with its body.

    `close` says that the connection cannot be used for another request.
    """

    # What most requests never set stands here, and costs them nothing.
    answer: Answer | None = None
    close = False
    _route: Route | None = None
    _content_type = ""
    _future: asyncio.Future[Any] | None = None
    _timer: asyncio.TimerHandle | None = None
    _inference: Inference | None = None
    _body: bytes | bytearray = b""
    _sampled = False
    _words = ""
    _expired = False
    _gone = False
    _source: Source | None = None
    _rows = 0
    _size = 0
    _started = 0.0
    _protocol: ClientProtocol
    _found: Found
    _request: Request
    _reply: Reply

    def __init__(self, front: Front, request_id: str, headers: Mapping[bytes, bytes]) -> None:
        self.id = request_id
        self.headers = headers
        self._front = front
        self._lineup = lineup = front.lineup
        self._road = lineup.champion
        self._protocol = self._road.protocols[0]  # the words of a refusal that comes before its path is looked at

    @property
    def waits(self) -> bool:
        """Whether it is being answered, and is not yet."""
        return self._future is not None

    @property
    def max_body(self) -> int:
        return self._front.max_body

    def begin(self, method: str, found: Found) -> bool:
        """Check the head. True where the mounted app is to answer. Raises `RequestRefused`."""
        guard, headers = self._front.guard, self.headers
        if method == "OPTIONS":
            self.answer = guard.preflight(method, headers)
            if self.answer is not None:
                return False
        if found.key is None:
            guard.authorize(headers)
            if self._lineup.mounted is not None:
                return True
            raise NotFound(f"nothing answers at {found.path[:_SHOWN]}", fix="POST /predict")
        routes = self._road.routes[found.key]
        pair = routes.get(method) or (routes.get("GET") if method == "HEAD" else None)
        if pair is None:
            self._protocol = next(iter(routes.values()))[1]
            guard.authorize(headers)
            raise _wrong_method(found.path, method, routes)
        route, self._protocol = pair
        if not route.open:
            guard.authorize(headers)
        if len(self._lineup.loaded) > 1:
            route = self._choose_version(route, found)
        self._route, self._found = route, found
        if route.method == "POST":
            self._check_body(route)
        return False

    def begin_again(self, head: Head) -> None:
        """Check what may have changed since the same head was accepted. Raises `RequestRefused`."""
        route = head.route
        self._protocol = head.protocol
        if not route.open:
            self._front.guard.authorize(head.headers)
        if len(self._lineup.loaded) > 1:
            route = self._choose_version(route, head.found)
        self._route, self._found, self._content_type = route, head.found, head.content_type

    def head(self) -> Head | None:
        """What is to be remembered of a head that was accepted; None where it was not, or says more than usual."""
        route, headers = self._route, self.headers
        if self.answer is not None or route is None or b"transfer-encoding" in headers or b"expect" in headers:
            return None
        assert self._found.key is not None
        route, protocol = self._lineup.champion.routes[self._found.key][route.method]
        length = int(headers.get(b"content-length", b"0"))
        return Head(headers, self._found, route, protocol, self._content_type, length)

    def finish(self, body: bytes | bytearray, reply: Reply) -> None:
        """Answer the request, whose body is whole: `reply` is called once with this exchange, now or later."""
        self._reply = reply
        self._size = len(body)
        self._started = time.perf_counter()
        route, found = self._route, self._found
        assert route is not None
        request = Request(self.id, found.path, self._content_type, self.headers, body, found.params, found.query)
        if self._lineup.shadow is not None:
            self._request = request
        sampling = self._front.sampling
        if sampling is not None and self._size <= BODY_BYTES:
            self._body = body
        try:
            result = route.handler(request)
            if type(result) is Inference:
                self._inference = result
                self._rows = result.batch.rows
                more: tuple[str, ...] = ()
                if sampling is not None:
                    sampling.left -= 1
                    if sampling.left < 0:
                        self._sampled = True
                        more = sampling.begin(self._road, result.names)
                outputs = self._road.lane.run(result.batch, result.names, more)
                if type(outputs) is not dict:
                    self._wait(result, outputs)  # type: ignore[arg-type]
                    return
                if self._sampled:
                    outputs = self._sample(result, outputs)
                answer = result.encode(outputs)
                if self._lineup.shadow is not None:
                    self._offer(result, outputs)
            elif type(result) is Answer:
                answer = result
            else:
                self._wait(None, asyncio.ensure_future(result))  # type: ignore[arg-type]
                return
        except RequestRefused as error:
            answer = self.refuse(error)
        except Exception:  # a mistake of ours is one request's failure
            log.exception("request %s could not be answered", self.id)
            answer = self._mistake()
        self._end(answer)

    def abandon(self) -> None:
        """The client has gone: what waits for the model need not run any more."""
        self._gone = True
        if self._source is not None:
            self.streamed()
        elif self._future is not None and not self._future.done():
            self._future.cancel()

    def streamed(self) -> None:
        """The `Stream` that answers it has been written to its end, or its client has gone."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
            failed = source.error.status if source.error is not None else 200
            self._observe_stream(failed if source.ended else CLIENT_GONE, source)

    def refuse(self, error: RequestRefused) -> Answer:
        """Let the answer be the protocol's words for `error`, and return it."""
        if error.status >= ModelFailed.status:
            self._words = words_of(error)
        answer = self._protocol.refusal(error, self.id)
        extra: list[tuple[bytes, bytes]] = []
        if isinstance(error, Unauthorized):
            extra.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, MethodNotAllowed):
            extra.append((b"allow", error.details["allow"].encode()))
        elif isinstance(error, Overloaded):
            extra.append((b"retry-after", str(error.details.get("retry_after_s", 1)).encode()))
        elif isinstance(error, BodyTooLarge):
            self.close = True  # a body that was not read must not be taken for the next request
        self.answer = Answer(answer.body, answer.status, answer.content_type, (*answer.headers, *extra))
        return self.answer

    def refuse_body(self) -> Answer:
        """Let the answer be that the body is too large. What is left of it is not read."""
        return self.refuse(_too_large(self.max_body))

    def _choose_version(self, route: Route, found: Found) -> Route:
        """The same route of the version that the path names, or of the one whose turn it is."""
        named = found.params[route.version_at] if route.version_at is not None else None
        if named is not None and named.isdecimal() and len(named) < _DIGITS:
            self._road = self._front.choose(int(named))
        elif route.recorded:
            self._road = self._front.choose(None)
        assert found.key is not None
        route, self._protocol = self._road.routes[found.key][route.method]
        return route

    def _check_body(self, route: Route) -> None:
        """An allow-list: without a token, a type that a browser sends across sites unasked is never on it."""
        headers = self.headers
        given = headers.get(b"content-type", b"")
        kind = given.partition(b";")[0].strip().lower().decode("latin-1") if given != b"application/json" else JSON
        self._content_type = kind
        if kind not in route.content_types or not (kind or self._front.guard.asks):
            wanted = " or ".join(sorted(kind for kind in route.content_types if kind))
            raise UnsupportedContent(
                f"the content type {kind!r} is not read here", fix=f"send «Content-Type: {wanted}»"
            )
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedContent("a compressed body is not read here", fix="send it without Content-Encoding")
        declared = headers.get(b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > self.max_body:
            raise _too_large(self.max_body)

    def _wait(self, inference: Inference | None, future: asyncio.Future[Any]) -> None:
        self._inference = inference
        self._future = future
        self._timer = future.get_loop().call_later(self._front.timeout_s, self._expire)
        future.add_done_callback(self._answered)

    def _expire(self) -> None:
        self._expired = True
        self.abandon()

    def _answered(self, future: asyncio.Future[Any]) -> None:
        assert self._timer is not None
        self._timer.cancel()
        if future.cancelled():
            if self._expired:
                self._end(self.refuse(self._front.too_slow()))
            else:
                self._observe(CLIENT_GONE, 0)
            return
        try:
            answer = result = future.result()
            if type(result) is Stream:
                self._stream(result)
                return
            if self._inference is not None:
                if self._sampled:
                    result = self._sample(self._inference, result)
                answer = self._inference.encode(result)
                if self._lineup.shadow is not None:
                    self._offer(self._inference, result)
        except RequestRefused as error:
            answer = self.refuse(error)
        except Exception:  # a mistake of ours is one request's failure
            log.exception("request %s could not be answered", self.id)
            answer = self._mistake()
        self._end(answer)

    def _stream(self, answer: Stream) -> None:
        self._source = source = answer.source
        self._rows = source.rows
        if self._gone:
            self.streamed()
            return
        source.watch(self._front.timeout_s, self._front.too_slow())
        self._reply(self, answer)

    def _offer(self, inference: Inference, outputs: dict[str, Any]) -> None:
        assert self._lineup.shadow is not None
        assert self._found.key is not None
        if self._road is self._lineup.champion:
            seconds = time.perf_counter() - self._started
            read = partial(_read, self._found.key, self._request)
            self._lineup.shadow.offer(read, inference, outputs, seconds, self._size)

    def _sample(self, inference: Inference, outputs: dict[str, Any]) -> dict[str, Any]:
        """Keep the request with its answer, and return those of the outputs that it asked for."""
        sampling = self._front.sampling
        assert sampling is not None
        sampling.answered(self.id, self._road, time.perf_counter() - self._started, inference.batch, outputs)
        return {name: outputs[name] for name in inference.names}

    def _sample_failed(self, status: int) -> None:
        sampling, route, inference = self._front.sampling, self._route, self._inference
        if sampling is not None and route is not None and route.recorded:
            sampling.failed(
                self.id,
                self._road,
                status,
                time.perf_counter() - self._started,
                self._words,
                batch=inference.batch if inference is not None else None,
                body=self._body,
                content_type=self._content_type,
            )

    def _mistake(self) -> Answer:
        return self.refuse(ModelFailed("the server failed on this request", fix="the owner can see why in the log"))

    def _end(self, answer: Answer) -> None:
        if answer.status >= ModelFailed.status:
            self._sample_failed(answer.status)
        self._observe(answer.status, len(answer.body))
        self._reply(self, answer)

    def _observe(self, status: int, bytes_out: int) -> None:
        observe, route = self._front.observe, self._route
        if observe is not None and route is not None and route.recorded:
            seconds = time.perf_counter() - self._started
            observe(self._road.version.number, status, seconds, self._rows, self._size, bytes_out)

    def _observe_stream(self, status: int, source: Source) -> None:
        observe, sampling = self._front.observe, self._front.sampling
        if sampling is not None:
            sampling.streamed(self.id, self._road, status, time.perf_counter() - self._started, source)
        if observe is not None:
            seconds = time.perf_counter() - self._started
            number = self._road.version.number
            observe(number, status, seconds, self._rows, self._size, source.bytes_out, source.first_s)


def _read(key: str, request: Request, road: Road) -> Inference:
    """The same request, as another version reads it, even if it names the one that answered."""
    route, _ = road.routes[key]["POST"]
    if route.version_at is not None:
        params = [None if i == route.version_at else value for i, value in enumerate(request.params)]
        request = replace(request, params=params)
    inference = route.handler(request)
    if not isinstance(inference, Inference):
        raise TypeError(f"{key} gave {type(inference).__name__}")
    return inference


def _wrong_method(path: str, method: str, routes: Routes) -> MethodNotAllowed:
    wanted = " or ".join(sorted(routes))
    allowed = sorted({*routes, *(("HEAD",) if "GET" in routes else ())})
    return MethodNotAllowed(
        f"{path} answers {wanted}, not {method}", fix=f"send a {wanted} request", allow=", ".join(allowed)
    )


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body has more than {limit} bytes",
        fix="send the rows in parts, or raise AUTODEPLOY_MAX_BODY_BYTES and restart the deployment",
        field="body",
    )
