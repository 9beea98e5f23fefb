"""uvicorn on an inherited socket, ended by a drain instead of a hang-up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from autodeploy_magic.serve.connection import Connection

__all__ = ["GRACE_S", "Config", "Server"]

KEEP_ALIVE_S = 75
"""Longer than common clients keep an idle connection, so that it is they who close it: a request is never sent into a
connection that we are closing."""
GRACE_S = 10
"""How long requests that are being answered at the end of the drain may still take."""


class Config(uvicorn.Config):
    """uvicorn's settings as ours are. `idle` is set when the last connection closes."""

    def __init__(self, app: Any, *, keep_alive_s: int = KEEP_ALIVE_S) -> None:
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
        self.idle = asyncio.Event()


class Server(uvicorn.Server):
    """A uvicorn server that its process ends with `stop()`; it leaves signals to the process.

    At its end it stops accepting, calls `draining`, and goes on answering the connections it holds for a while.
    `tick` is called every second.
    """

    def __init__(
        self,
        config: Config,
        *,
        draining: Callable[[], None] = lambda: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
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

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # refreshes the date header
            self._tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._draining()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                while self.server_state.connections:
                    self._idle.clear()
                    await self._idle.wait()
        await super().shutdown(sockets)
