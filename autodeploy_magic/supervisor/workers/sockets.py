"""Listening sockets: on an IP literal, on a port that is chosen once and kept."""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import socket
from collections.abc import Container
from dataclasses import dataclass

import msgspec

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption, PortTaken

__all__ = ["Listening", "listen", "listen_for"]

FIRST_PORT, PORTS = 20_000, 10_000
"""Below the ports that systems give to outgoing connections (32768 and up), which could take a deployment's while it is
stopped."""
_TRIES = 200


@dataclass(frozen=True)
class Listening:
    """The listening sockets that the workers of a deployment share: HTTP's, and gRPC's where it is asked for."""

    http: socket.socket
    grpc: socket.socket | None = None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Both, in the order in which workers are handed them."""
        return (self.http,) if self.grpc is None else (self.http, self.grpc)

    def close(self, keep: Listening | None = None) -> None:
        """Close them, except for those that `keep` holds too."""
        for item in self.sockets:
            if keep is None or item not in keep.sockets:
                item.close()


def listen_for(
    desired: Desired, now: Listening | None, *, key: str, avoid: Container[int]
) -> tuple[Listening, Desired]:
    """Return the sockets that are desired, and what is desired with their ports. Those of `now` that fit are kept.

    Raises as `listen` does; then nothing is left open but `now`.
    """
    http = _opened(now.http if now is not None else None, desired.host, desired.port, key, avoid)
    desired = msgspec.structs.replace(desired, port=http.getsockname()[1])
    if not desired.grpc:
        return Listening(http), desired
    try:
        grpc = _opened(now.grpc if now is not None else None, desired.host, desired.grpc_port, f"{key}/grpc", avoid)
    except BaseException:
        Listening(http).close(keep=now)
        raise
    return Listening(http, grpc), msgspec.structs.replace(desired, grpc_port=grpc.getsockname()[1])


def _opened(now: socket.socket | None, host: str, port: int, key: str, avoid: Container[int]) -> socket.socket:
    if now is not None and now.getsockname()[:2] == (host, port):
        return now
    return listen(host, port, key=key, avoid=avoid)


def listen(host: str, port: int, *, key: str = "", avoid: Container[int] = ()) -> socket.socket:
    """Return a socket that is bound and listening.

    With `port` 0 one is chosen that is free and not in `avoid`, the same for the same `key` where possible.
    Raises `InvalidOption` for a host that is not an IP literal of this machine, `PortTaken` naming who holds the port.
    """
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError as error:
        raise InvalidOption(
            f"host {host!r} is not an IP address",
            why="a name may stand for several addresses, and which are public is not to be guessed",
            fix="use 127.0.0.1, or the address of the interface to listen on",
        ) from error
    if port:
        return _bind(family, host, port)
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
    for i in range(_TRIES):
        candidate = FIRST_PORT + (start + i) % PORTS
        if candidate in avoid:
            continue
        try:
            return _bind(family, host, candidate)
        except PortTaken:
            continue
    return _bind(family, host, 0)


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of the last run that are still closing do not keep the port; another listener does.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise InvalidOption(f"host {host} is not an address of this machine", fix="use 127.0.0.1") from error
        if error.errno == errno.EACCES:
            raise PortTaken(
                f"port {port} may not be used", why="ports below 1024 belong to the system", fix="choose a higher port"
            ) from error
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken",
                why=_holder(port),
                fix="choose another with --port, leave --port out, or end that program",
                port=port,
            ) from error
        raise
    return sock


def _holder(port: int) -> str:
    """Who listens on the port, as far as the system tells us."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid}) listens on it"
    except psutil.Error:
        pass  # macOS tells only the administrator
    return "another program listens on it"
