"""uvicorn on an inherited socket, ended by a drain instead of a hang-up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from autodeploy_magic.serve.http.acceptor import Acceptor
from autodeploy_magic.serve.http.connection import Connection
from autodeploy_magic.serve.http.leaving import empty

if TYPE_CHECKING:
    from autodeploy_magic.serve.http.front import Front

__all__ = ["GRACE_S", "Config", "Server"]

KEEP_ALIVE_S = 75
"""Longer than common clients keep an idle connection, so that it is they who close it: a request is never sent into a
connection that we are closing."""
GRACE_S = 10
"""How long requests that are being answered at the end of the drain may still take."""
TICK_S = 1.0
_AFTER_S = 0.005
GOODBYE_S = 0.5
"""How long a client may take to close a connection that we have closed. TLS says goodbye in both directions, and few
clients that are idle listen for it."""


class Config(uvicorn.Config):
    """uvicorn's settings as ours are. `idle` is set when the last connection closes.

    `front` answers what is its own without ASGI; see `serve.http.connection`. With `tls` the server speaks HTTPS.
    `shares` says that other processes accept on the same socket.
    """

    def __init__(
        self,
        app: Any,
        *,
        front: Front | None = None,
        tls: ssl.SSLContext | None = None,
        shares: bool = False,
        keep_alive_s: int = KEEP_ALIVE_S,
    ) -> None:
        super().__init__(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=GRACE_S,
        )
        self.front = front
        self.shares = shares
        self._tls = tls
        self.idle = asyncio.Event()

    def load(self) -> None:
        super().load()
        self.ssl = self._tls  # uvicorn would make a context of its own, with a list of ciphers of its own


class Server(uvicorn.Server):
    """A uvicorn server that its process ends with `stop()`; it leaves signals to the process.

    At its end it stops accepting, calls `draining`, and goes on answering the connections it holds for a while.
    `tick` is called soon after each second of the clock begins. `emptied` are listening sockets that no other process
    goes on accepting on: before they close, those are let in who wait in them.
    """

    def __init__(
        self,
        config: Config,
        *,
        draining: Callable[[], None] = lambda: None,
        tick: Callable[[], None] = lambda: None,
        emptied: Sequence[socket.socket] = (),
    ) -> None:
        super().__init__(config)
        self._emptied = emptied
        self._shares = config.shares
        self._idle = config.idle
        self._drain_s = 0.0
        self._draining = draining
        self._tick = tick
        self._stopped = asyncio.Event()

    def stop(self, drain_s: float = 0.0) -> None:
        """End once the connections are drained; idle ones are closed after `drain_s`."""
        self._drain_s = drain_s
        self.should_exit = True
        self._stopped.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if not self._shares:
            await super().startup(sockets)
            return
        await super().startup([])
        protocol = partial(
            Connection, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        self.servers = [Acceptor(sock, protocol, self.config.ssl) for sock in sockets or ()]  # type: ignore[misc]

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # refreshes the date header
            self._tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S - time.time() % TICK_S + _AFTER_S):
                    await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await empty(self._emptied)
        for server in self.servers:
            server.close()
        self._draining()
        await self._without_connections(self._drain_s)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._without_connections(GOODBYE_S)
        for connection in list(self.server_state.connections):
            if connection.transport.is_closing():
                connection.transport.abort()
        await super().shutdown(sockets)

    async def _without_connections(self, within_s: float) -> None:
        """Wait until there is no connection any more, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.server_state.connections:
                    self._idle.clear()
                    await self._idle.wait()
