"""One request to a deployment's port and its answer. Both are streams: no more than a chunk of each is held."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError

from autodeploy_magic import tls
from autodeploy_magic.address import Address

__all__ = ["Exchange", "Receiver", "Target"]

CONNECT_S = 5.0
_ANY_SIZE = 1 << 62
"""How large a body may be is for the deployment to say."""


@dataclass(frozen=True)
class Target:
    """Where a deployment is. Over HTTPS its certificate is verified against what the file `trusted` holds."""

    address: Address
    trusted: Path | None = None


@dataclass(frozen=True)
class Receiver:
    """Who takes the answer: its head, then its chunks. What they return is awaited before more is read."""

    head: Callable[[ResponseStartLine, HTTPHeaders], Awaitable[None]]
    chunk: Callable[[bytes], Awaitable[None]]


class Exchange(HTTPMessageDelegate):
    """A request under way. `send` its body, then `answered`; `close` gives it up at any time."""

    def __init__(self, stream: IOStream, receiver: Receiver) -> None:
        self._stream = stream
        self._receiver = receiver
        self._refused = False
        self._whole = asyncio.get_running_loop().create_future()
        parameters = HTTP1ConnectionParameters(no_keep_alive=True, max_body_size=_ANY_SIZE)
        self._connection = HTTP1Connection(stream, is_client=True, params=parameters)
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def begin(cls, target: Target, start: RequestStartLine, headers: HTTPHeaders, receiver: Receiver) -> Exchange:
        """Connect and send the head. Raises `OSError` (so `ssl.SSLError`) where that fails."""
        async with asyncio.timeout(CONNECT_S):
            stream = await _connected(target)
        exchange = cls(stream, receiver)
        with contextlib.suppress(StreamClosedError):  # an answer may have come all the same
            await exchange._connection.write_headers(start, headers)
        # Read from now on: a request that is refused for its head is answered before its body has come.
        exchange._reading = asyncio.ensure_future(exchange._read())
        return exchange

    async def send(self, chunk: bytes) -> None:
        """Pass on a part of the request's body, or drop it where the request was refused, as for its size."""
        if not self._refused:
            with contextlib.suppress(StreamClosedError):
                await self._connection.write(chunk)

    async def answered(self) -> bool:
        """Wait for the answer's end; whether all of it came."""
        if not self._refused:
            with contextlib.suppress(StreamClosedError):
                self._connection.finish()
        whole: bool = await self._whole
        self.close()
        return whole

    def close(self) -> None:
        self._stream.close()

    # --- what tornado's connection calls

    async def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        if isinstance(start_line, ResponseStartLine) and start_line.code >= 200:
            self._refused = start_line.code >= 400
            await self._pass_on(self._receiver.head(start_line, headers))

    async def data_received(self, chunk: bytes) -> None:
        await self._pass_on(self._receiver.chunk(chunk))

    def finish(self) -> None:
        self._settle(whole=True)

    def on_connection_close(self) -> None:
        self._settle(whole=False)

    async def _read(self) -> None:
        with contextlib.suppress(StreamClosedError):
            await self._connection.read_response(self)
        self._settle(whole=False)

    async def _pass_on(self, handing: Awaitable[None]) -> None:
        try:
            await handing
        except StreamClosedError:  # whoever asked is gone
            self.close()

    def _settle(self, *, whole: bool) -> None:
        if not self._whole.done():
            self._whole.set_result(whole)


async def _connected(target: Target) -> IOStream:
    address = target.address
    # Read at each connection: the certificate may have been made anew meanwhile.
    context = tls.client_context(target.trusted) if target.trusted is not None else None
    plain = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    stream = IOStream(plain) if context is None else SSLIOStream(plain, ssl_options=context)
    try:
        await stream.connect((address.host, address.port), address.name)
    except BaseException:
        stream.close()
        raise
    stream.set_nodelay(True)
    return stream
