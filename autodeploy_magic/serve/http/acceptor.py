"""Accepting on a socket that other workers accept on too, so that each gets its share.

uvloop's own server takes all connections that wait in one go: of eight that come together one worker got eight, and the
other none. This one takes a single connection, and leaves the next to the others for a moment; where connections still
wait after that moment, all are busy, and it takes twice as many each time.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
from collections.abc import Callable

__all__ = ["REST_S", "Acceptor"]

log = logging.getLogger(__name__)

REST_S = 0.002
"""After accepting: enough for an idle worker to be quicker."""
_PATIENCE = 3
"""So many times in a row there must be some waiting before more than one is taken."""
MOST = 64
"""Connections taken in one go, at most."""
FULL_S = 0.5
"""After an accept that the system refused: there are no descriptors left, and asking at once would only spin."""


class Acceptor:
    """Hands connections of `listening` to protocols that `factory` makes, until it is closed."""

    def __init__(
        self, listening: socket.socket, factory: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._factory = factory
        self._tls = tls
        self._resting: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._waits = 0
        self._listens_since = -math.inf
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more. Connections that are being made are made."""
        if not self._closed:
            self._closed = True
            if self._resting is None:
                self._loop.remove_reader(self._listening)
            else:
                self._resting.cancel()

    async def wait_closed(self) -> None:
        """Wait for the connections that are being made."""
        if self._connecting:
            await asyncio.wait(self._connecting)

    def _listen(self) -> None:
        self._resting = None
        self._listens_since = self._loop.time()
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        waited = self._loop.time() - self._listens_since < REST_S
        self._waits = self._waits + 1 if waited else 0
        rest_s = REST_S
        for _ in range(min(2 ** max(0, self._waits - _PATIENCE), MOST)):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break  # another worker was quicker, or the client has gone
            except OSError as error:
                log.warning("no connection can be accepted: %s", error)
                rest_s = FULL_S
                break
            connection.setblocking(False)
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        self._loop.remove_reader(self._listening)
        self._resting = self._loop.call_later(rest_s, self._listen)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection, ssl=self._tls)
        except OSError as error:  # a handshake that failed, or a client that went away in it
            log.debug("a connection was not made: %s", error)
            connection.close()
