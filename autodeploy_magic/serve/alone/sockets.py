"""The listening sockets of an image: of IPv4 and IPv6 at once, where the machine has both."""

from __future__ import annotations

import contextlib
import errno
import socket

from autodeploy_magic.errors import AutodeployError, PortTaken, StartFailed

__all__ = ["listen"]

BACKLOG = 2048


def listen(host: str, port: int, variable: str) -> socket.socket:
    """Listen on an address, "" for all. `variable` says who chose the port. Raises `PortTaken` or `StartFailed`."""
    if not host and socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # IPv6 is known here and not set up; or taken, which IPv4 tells as well
            address = ("::", port)
            return socket.create_server(address, family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host or "0.0.0.0", port), family=family, backlog=BACKLOG)  # noqa: S104 - an image's
    except OSError as error:
        raise _unable(host, port, variable, error) from error


def _unable(host: str, port: int, variable: str, error: OSError) -> AutodeployError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"port {port} belongs to another program", fix=f"choose another with {variable}, or end that program"
        )
    if error.errno == errno.EACCES:
        return StartFailed(
            f"port {port} may not be listened on",
            why="ports below 1024 are for privileged users, and this container runs without privileges",
            fix=f"choose a port from 1024 with {variable}",
        )
    return StartFailed(f"{host or 'the machine'} cannot be listened on, port {port}", why=str(error))
