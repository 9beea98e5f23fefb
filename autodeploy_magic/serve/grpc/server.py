"""The gRPC port of a worker: its connections, its methods, what all of them may use together, and its drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
from collections.abc import Mapping, Sequence

from autodeploy_magic.errors import MethodNotAllowed, Overloaded, Unavailable
from autodeploy_magic.serve.grpc.calls import Method, Room
from autodeploy_magic.serve.grpc.connection import Connection
from autodeploy_magic.serve.grpc.health import Health
from autodeploy_magic.serve.grpc.reflection import Reflection
from autodeploy_magic.serve.grpc.service import OpenInference
from autodeploy_magic.serve.http.front import Front

__all__ = ["GrpcServer", "serve_grpc"]

log = logging.getLogger(__name__)

BACKLOG = 2048
"""As the HTTP port's."""
CONNECTIONS = 512
CALLS = 1024
"""Calls at once, over all connections: each waits for its turn in a lane, or holds a stream open."""
OPEN_CALLS = 128
"""The same of methods that need no token, so that nobody without one keeps out those who have it."""
BODIES = 8
"""How many of the largest bodies may be held at once."""
HANDSHAKE_S = 10.0
GOODBYE_S = 2.0
"""How long a client may take to hear that its calls are refused, or that TLS ends."""
_TICK_S = 1.0


async def serve_grpc(front: Front, listening: socket.socket, ssl_context: ssl.SSLContext | None = None) -> GrpcServer:
    """Answer gRPC on a listening socket, which other processes may hold too, with the versions of `front`.

    `ssl_context` is for this port alone: HTTP/2 is chosen in it.
    """
    server = GrpcServer(front)
    await server.start(listening, ssl_context)
    return server


class GrpcServer:
    """The port, from its start to the end of its drain. `room` is for the bytes of requests that arrive."""

    def __init__(self, front: Front) -> None:
        self.max_body = front.max_body
        self.room = Room(BODIES * front.max_body)
        self.draining = asyncio.Event()
        self._front = front
        self._methods = _methods(front, self.draining)
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._calls = {False: 0, True: 0}  # of methods that need a token, and of those that do not
        self._count = self._turned_away = 0
        self._ids = secrets.token_hex(10)
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time()
        self._ticking = self._loop.call_later(_TICK_S, self._tick)
        self._listener: asyncio.Server | None = None

    async def start(self, listening: socket.socket, ssl_context: ssl.SSLContext | None) -> None:
        """Begin to accept."""
        if ssl_context is not None:
            ssl_context.set_alpn_protocols(["h2"])
        self._listener = await self._loop.create_server(
            lambda: Connection(self),
            sock=listening,
            backlog=BACKLOG,
            ssl=ssl_context,
            ssl_handshake_timeout=HANDSHAKE_S if ssl_context is not None else None,
            ssl_shutdown_timeout=GOODBYE_S if ssl_context is not None else None,
        )

    def stop_accepting(self) -> None:
        """Accept no more connections, and ask the clients of those that are open to go elsewhere."""
        if self.draining.is_set():
            return
        if self._listener is not None:
            self._listener.close()
        self.draining.set()
        for connection in list(self._connections):
            connection.leave()

    async def drain(self, seconds: float) -> None:
        """Return when the last connection has closed; calls that are not answered after `seconds` are refused."""
        self.stop_accepting()
        if not await self._emptied(seconds):
            for connection in list(self._connections):
                connection.stop_calls(
                    Unavailable("this worker ends", fix="send the request again: another worker answers it")
                )
            if not await self._emptied(GOODBYE_S):
                for connection in list(self._connections):
                    connection.abort()
        self._ticking.cancel()

    # What connections ask for.

    def now(self) -> float:
        """The time of the last tick: exact to a second, and free."""
        return self._now

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more connection."""
        if len(self._connections) >= CONNECTIONS:
            self._turned_away += 1
            return False
        self._connections.add(connection)
        self._empty.clear()
        if self.draining.is_set():
            connection.leave()
        return True

    def gone(self, connection: Connection) -> None:
        """A connection has closed."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def find(self, headers: Mapping[bytes, bytes]) -> Method:
        """The method that a request names. Raises `Unauthorized` or `MethodNotAllowed`."""
        path = headers.get(b":path", b"").decode("latin-1")
        method = self._methods.get(path)
        if method is None or not method.open:
            self._front.guard.authorize(headers)
        if method is None:
            services = sorted({path.split("/")[1] for path in self._methods})
            raise MethodNotAllowed(f"there is no method {path}", fix=f"the services are {', '.join(services)}")
        return method

    def begun(self, method: Method) -> None:
        """Count a call in. Raises `Overloaded` where there are as many as there may be."""
        limit = OPEN_CALLS if method.open else CALLS
        if self._calls[method.open] >= limit:
            raise Overloaded(f"this worker answers {limit} calls already", fix="send it again later", retry_after_s=1)
        self._calls[method.open] += 1

    def ended(self, method: Method) -> None:
        """Count a call out."""
        self._calls[method.open] -= 1

    @property
    def calls(self) -> int:
        """How many calls there are."""
        return sum(self._calls.values())

    def request_id(self) -> str:
        """A new id of a request."""
        self._count += 1
        return f"{self._ids}{self._count:012x}"

    async def _emptied(self, seconds: float) -> bool:
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
        return not self._connections

    def _tick(self) -> None:
        self._now = self._loop.time()
        self._ticking = self._loop.call_later(_TICK_S, self._tick)
        for connection in list(self._connections):
            connection.tick()
        if self._turned_away:
            log.warning("%d connections were closed: there are %d already", self._turned_away, CONNECTIONS)
            self._turned_away = 0


def _methods(front: Front, draining: asyncio.Event) -> dict[str, Method]:
    services = {
        "inference.GRPCInferenceService": OpenInference(front).methods(),
        "grpc.health.v1.Health": Health(front, draining).methods(),
    }
    found: Sequence[Method] = [method for methods in services.values() for method in methods]
    return {method.rpc.path: method for method in [*found, *Reflection(sorted(services)).methods()]}
