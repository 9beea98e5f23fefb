"""A request on its connection, from its head to its answer, where uvicorn keeps one that goes to an ASGI app."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autodeploy_magic.serve.http.connection import Connection
    from autodeploy_magic.serve.http.exchange import Exchange

__all__ = ["Cycle"]


class Cycle:
    """A request that the front answers, where uvicorn keeps a request's cycle: it asks for the attributes without `_`.

    `its_turn` says that every request before it on the connection has been answered, `chunked` that an answer whose
    length nobody knows may come in chunks: a client of HTTP/1.0 knows none.
    """

    __slots__ = (
        "_connection",
        "_parts",
        "_size",
        "chunked",
        "disconnected",
        "exchange",
        "head_only",
        "its_turn",
        "keep_alive",
        "more_body",
        "response_complete",
    )

    def __init__(
        self,
        connection: Connection,
        exchange: Exchange,
        *,
        keep_alive: bool,
        head_only: bool,
        chunked: bool = True,
    ) -> None:
        self.exchange = exchange
        self.keep_alive = keep_alive
        self.head_only = head_only
        self.chunked = chunked
        self.more_body = True
        self.its_turn = False
        self.response_complete = False
        self.disconnected = False
        self._connection = connection
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def message_event(self) -> Cycle:
        """What uvicorn sets when there is news; the only news that matters here is that the client has gone."""
        return self

    def set(self) -> None:
        if not self.response_complete:
            self.exchange.abandon()

    def receive(self, body: bytes) -> None:
        """Take a part of the body, within the limit."""
        self._size += len(body)
        if self._size <= self.exchange.max_body:
            self._parts.append(body)
            return
        self._parts.clear()
        if self.exchange.answer is None:
            self.exchange.refuse_body()
        if self.its_turn:
            self._connection.refuse(self)

    def finish(self) -> None:
        """The request is whole and its turn has come."""
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self._connection.finish(self, body)
