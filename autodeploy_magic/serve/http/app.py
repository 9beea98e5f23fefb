"""The worker's ASGI app: the same front for any ASGI server, and the way to the app of the Bento.

Our own connections come here only for what no protocol of ours answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from autodeploy_magic.serve.http.exchange import Exchange
from autodeploy_magic.serve.http.front import Front, Observe
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import Answer, Stream
from autodeploy_magic.serve.road import Lineup, Mounted, Road

__all__ = ["App", "make_app"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def make_app(
    served: ServedModel, *, token: str | None, bento_app: Mounted | None = None, observe: Observe | None = None
) -> App:
    """Return the app of one version alone. `token` None means that no token is asked for."""
    road = Road(served)
    lineup = Lineup(road, loaded={road.version.number: road}, mounted=bento_app)
    return App(Front(lineup, Guard(tokens=[token] if token else []), observe=observe))


class App:
    """An ASGI app around a front."""

    def __init__(self, front: Front) -> None:
        self.front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        front = self.front
        raw = scope.get("raw_path") or scope["path"].encode()
        query = scope.get("query_string", b"")
        url = raw + b"?" + query if query else raw
        exchange = front.open(scope["method"], url, scope["headers"], http_version=scope.get("http_version", "1.1"))
        if exchange is None:
            assert front.lineup.mounted is not None
            await front.lineup.mounted(scope, receive, self._closing(send))
            return
        body = b"" if exchange.answer is not None else await _read(exchange, receive)
        if body is None:
            return
        answer = exchange.answer if exchange.answer is not None else await _finished(exchange, body, receive)
        if isinstance(answer, Stream):
            await self._stream(receive, send, exchange, answer)
        elif answer is not None:
            headers = self._headers(exchange, answer)
            headers.append((b"content-length", str(len(answer.body)).encode()))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})

    def _headers(self, exchange: Exchange, answer: Answer) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", answer.content_type.encode("latin-1")),
            (b"x-request-id", exchange.id.encode()),
            *answer.headers,
            *self.front.guard.cors(exchange.headers),
        ]
        if self.front.draining or exchange.close:
            headers.append((b"connection", b"close"))
        return headers

    async def _stream(self, receive: Receive, send: Send, exchange: Exchange, answer: Stream) -> None:
        """Send an answer part by part; a server that waits for its client makes the generator wait."""
        source, news = answer.source, asyncio.Event()
        source.news = news.set
        gone: asyncio.Future[Any] = asyncio.ensure_future(receive())
        gone.add_done_callback(lambda _: news.set())
        try:
            headers = self._headers(exchange, answer)
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            while not (source.ended or source.stalled or gone.done()):
                news.clear()
                body = source.take()
                if body:
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                else:
                    await news.wait()
            if source.ended:
                exchange.streamed()
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            exchange.abandon()

    def _closing(self, send: Send) -> Send:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self.front.draining:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        return closing

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        lineup = self.front.lineup
        if lineup.mounted is not None:
            await lineup.mounted.shutdown()
        for road in lineup.loaded.values():
            road.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _read(exchange: Exchange, receive: Receive) -> bytes | None:
    """The body; None where the client goes away before its end. One that is too large sets the exchange's answer."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > exchange.max_body:
            exchange.refuse_body()
            return b""
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _finished(exchange: Exchange, body: bytes, receive: Receive) -> Answer | None:
    """The answer; None where the client goes away first, which frees its place in the queue."""
    replied: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    exchange.finish(body, lambda _, answer: None if replied.done() else replied.set_result(answer))
    if replied.done():
        return cast(Answer, replied.result())
    gone: asyncio.Future[Any] = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({replied, gone}, return_when=asyncio.FIRST_COMPLETED)
        if replied.done():
            return cast(Answer, replied.result())
        exchange.abandon()
        return None
    except asyncio.CancelledError:
        exchange.abandon()
        raise
    finally:
        gone.cancel()
