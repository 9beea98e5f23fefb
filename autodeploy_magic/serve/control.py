"""A worker's control socket: whoever connects is told who answers, and handed the listening sockets.

That is how a supervisor that was killed finds its deployments again: its successor connects, and needs no port of its
own. A connection is held until this worker accepts no more requests, so that its end tells a swap that the old
generation is out. The socket stands in a folder that only its owner can enter.

On a connection that is held, each line is an order (see `serve.lineup.orders`) and is answered with a line. What was
ordered and not completed is undone when the connection ends: a supervisor that dies in the middle of it leaves none of
it. An empty line asks once more who answers, and is answered at once: by an event loop that stands still it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

__all__ = ["Change", "Control", "ask"]

log = logging.getLogger(__name__)

_ANSWER_BYTES = 65536
_MOST_SOCKETS = 2


class Change(Protocol):
    """What is ordered over one connection."""

    async def obey(self, order: bytes) -> dict[str, Any]:
        """Do what one line says; the answer is JSON."""

    def end(self) -> None:
        """The connection has ended: undo what was not completed."""


class Control:
    """Serves one worker's control socket on the running loop until `close()`.

    `who` tells what is known of the worker now, `change` begins what one connection orders.
    """

    def __init__(
        self,
        path: Path,
        listening: Sequence[socket.socket],
        who: Callable[[], dict[str, Any]],
        change: Callable[[], Change],
    ) -> None:
        self._path = path
        self._listening = listening
        self._who = who
        self._change = change
        self._held: dict[socket.socket, _Conversation] = {}
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
            connection.setblocking(False)
            self._held[connection] = _Conversation(connection, self._change)
            asyncio.get_running_loop().add_reader(connection, self._hear, connection)
            try:
                who = msgspec.json.encode(self._who()) + b"\n"
                socket.send_fds(connection, [who], [item.fileno() for item in self._listening])
            except OSError:
                self._let_go(connection)

    def _hear(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(_ANSWER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data == b"\n":
            self._tell(connection)
        elif data:
            self._held[connection].hear(data)
        else:
            self._let_go(connection)

    def _tell(self, connection: socket.socket) -> None:
        try:
            connection.send(msgspec.json.encode(self._who()) + b"\n")
        except BlockingIOError:
            return  # it asks and does not listen
        except OSError:
            self._let_go(connection)

    def _let_go(self, connection: socket.socket) -> None:
        conversation = self._held.pop(connection, None)
        if conversation is not None:
            asyncio.get_running_loop().remove_reader(connection)
            conversation.end()
            connection.close()


class _Conversation:
    """The orders of one connection, obeyed one after the other."""

    def __init__(self, connection: socket.socket, begin: Callable[[], Change]) -> None:
        self._connection = connection
        self._begin = begin
        self._change: Change | None = None
        self._data = b""
        self._orders: asyncio.Queue[bytes] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def hear(self, data: bytes) -> None:
        *lines, self._data = (self._data + data).split(b"\n")
        for line in lines:
            self._orders.put_nowait(line)
        if lines and self._task is None:
            self._task = asyncio.create_task(self._obey())

    def end(self) -> None:
        if self._change is not None:
            self._change.end()
        if self._task is not None:
            self._task.cancel()

    async def _obey(self) -> None:
        loop = asyncio.get_running_loop()
        self._change = change = self._begin()
        while True:
            answer = await change.obey(await self._orders.get())
            with contextlib.suppress(OSError):  # whoever asked has gone, which the next read tells
                await loop.sock_sendall(self._connection, msgspec.json.encode(answer) + b"\n")


def ask(path: Path, timeout_s: float) -> tuple[dict[str, Any], list[socket.socket]] | None:
    """Ask a worker who it is; returns that and its listening sockets, or None where nobody answers in time."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            data, fds, _, _ = socket.recv_fds(connection, _ANSWER_BYTES, _MOST_SOCKETS)
        except OSError:
            return None
    sockets = [socket.socket(fileno=fd) for fd in fds]
    if not data or not sockets:
        return None
    return msgspec.json.decode(data, type=dict[str, Any]), sockets
