"""A streamed answer on its way into a connection: each part as one chunk, as fast as the client reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodeploy_magic.serve.lane.source import Source

if TYPE_CHECKING:
    from autodeploy_magic.serve.http.connection import Connection
    from autodeploy_magic.serve.http.cycle import Cycle

__all__ = ["Sending"]


class Sending:
    """Writes what `source` gives, once its head is written. To a client of HTTP/1.0 without chunks, up to the close."""

    def __init__(self, connection: Connection, cycle: Cycle, source: Source) -> None:
        self._connection = connection
        self._cycle = cycle
        self._source = source
        source.news = self.go

    def go(self) -> None:
        """Write what there is, unless the client has not read what was written before."""
        connection, source = self._connection, self._source
        if source.stalled or connection.transport.is_closing():
            connection.transport.abort()  # which tells the exchange that its client has gone
            return
        if connection.writes_paused:
            return
        data = source.take()
        if self._cycle.chunked:
            data = b"%x\r\n%b\r\n%b" % (len(data), data, b"0\r\n\r\n" if source.ended else b"") if data else b""
        if data:
            connection.transport.write(data)
        if source.ended:
            source.news = _nothing  # its thread may tell of an end that was seen before it was told
            connection.sent(self._cycle)


def _nothing() -> None:
    """What is done about news that nobody needs any more."""
