"""A worker's control socket: whoever connects is told who answers, and handed the listening socket.

That is how a supervisor that was killed finds its deployments again: its successor connects, and needs no port of its
own. A connection is held until this worker accepts no more requests, so that its end tells a swap that the old
generation is out. The socket stands in a folder that only its owner can enter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Control", "ask"]

_ANSWER_BYTES = 65536


class Control:
    """Serves one worker's control socket on the running loop until `close()`."""

    def __init__(self, path: Path, listening: socket.socket, who: dict[str, Any]) -> None:
        self._path = path
        self._listening = listening
        self._who = msgspec.json.encode(who)
        self._held: set[socket.socket] = set()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of an earlier process with this pid
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        os.chmod(path, 0o600)
        self._socket.listen(8)
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._answer)

    def close(self) -> None:
        """Stop answering: this worker accepts no more, and can no longer be adopted."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        for connection in list(self._held):
            self._let_go(connection)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _answer(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._socket.accept()
            self._held.add(connection)
            # Readable means that the other side has gone: it has nothing to say.
            asyncio.get_running_loop().add_reader(connection, self._let_go, connection)
            try:
                socket.send_fds(connection, [self._who], [self._listening.fileno()])
            except OSError:
                self._let_go(connection)

    def _let_go(self, connection: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(connection)
        self._held.discard(connection)
        connection.close()


def ask(path: Path, timeout_s: float) -> tuple[dict[str, Any], socket.socket] | None:
    """Ask a worker who it is; returns that and its listening socket, or None where nobody answers in time."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            data, fds, _, _ = socket.recv_fds(connection, _ANSWER_BYTES, 1)
        except OSError:
            return None
    if not data or not fds:
        return None
    return msgspec.json.decode(data, type=dict[str, Any]), socket.socket(fileno=fds[0])
