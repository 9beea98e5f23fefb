"""uvicorn's HTTP protocol with the limits that it lacks: a head's size, and the time a request may take to arrive."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MAX_HEAD_BYTES", "REQUEST_TIMEOUT_S", "Connection"]

MAX_HEAD_BYTES = 64 * 1024
REQUEST_TIMEOUT_S = 60.0
"""From the connection, or from a request's first byte, to the last byte of its body. A slow client holds no worker."""

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """One connection. A request that arrives whole in one read, as nearly all do, costs no timer."""

    _deadline: asyncio.TimerHandle | None = None
    _arriving = True  # between a request's first byte and its last; a new connection counts as arriving
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        if not self.connections:
            idle: asyncio.Event | None = getattr(self.config, "idle", None)
            if idle is not None:
                idle.set()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()
        if not self._arriving:
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def on_message_begin(self) -> None:
        self._arriving = self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arriving = False
        super().on_message_complete()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        # A request that is paused because the app has not yet read its body is not the client's fault.
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.close()
