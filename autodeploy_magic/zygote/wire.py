"""JSON lines with file descriptors beside them, on a unix stream socket."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

__all__ = ["MAX_FDS", "Inbox", "read_line", "send"]

MAX_FDS = 4
_CHUNK = 65536


def send(sock: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message; `fds` arrive as copies that belong to the receiver."""
    data = msgspec.json.encode({**message, "fds": len(fds)}) + b"\n"
    if fds:
        # The descriptors travel with the first byte that is accepted.
        sent = socket.send_fds(sock, [data], list(fds))
        data = data[sent:]
    if data:
        sock.sendall(data)


class Inbox:
    """Turns what arrives into whole messages, each with its own descriptors.

    A descriptor never arrives after the bytes it was sent with, so the messages take theirs in order.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""
        self._fds: deque[int] = deque()

    def receive(self) -> Iterator[tuple[dict[str, Any], list[int]]] | None:
        """Read once and return the messages that are whole now; None at the end of the stream.

        Raises `BlockingIOError` on a non-blocking socket with nothing to read.
        """
        data, fds, _, _ = socket.recv_fds(self._sock, _CHUNK, 16)
        self._fds.extend(fds)
        if not data:
            return None
        self._data += data
        *lines, self._data = self._data.split(b"\n")
        return (self._message(line) for line in lines)

    def _message(self, line: bytes) -> tuple[dict[str, Any], list[int]]:
        message: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        return message, [self._fds.popleft() for _ in range(message.pop("fds"))]


def read_line(sock: socket.socket) -> bytes | None:
    """Read up to a line's end from a blocking socket, without what follows; None where the stream ends before it."""
    parts: list[bytes] = []
    while True:
        # Peek, so that nothing beyond the line is taken from whoever reads next.
        seen = sock.recv(_CHUNK, socket.MSG_PEEK)
        if not seen:
            return None
        end = seen.find(b"\n")
        parts.append(sock.recv(len(seen) if end < 0 else end + 1))
        if end >= 0:
            return b"".join(parts)
