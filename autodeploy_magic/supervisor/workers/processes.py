"""A zygote seen from the supervisor, and the processes it starts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import autodeploy_magic
from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.serve.log import tail
from autodeploy_magic.supervisor.workers.watch import Ending, watched
from autodeploy_magic.zygote.child import Kind
from autodeploy_magic.zygote.preload import QUIET, Warm
from autodeploy_magic.zygote.wire import Inbox, send

__all__ = ["Child", "Zygote", "environment"]

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 1 << 30


class Child:
    """A process that a zygote started, or an engine in a container. `ended` is done when it has ended."""

    def __init__(
        self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, container: str = ""
    ) -> None:
        self.process = watched(pid, container)
        self.pid = pid
        self.container = container
        self.reader = reader
        self.writer = writer
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.serving = False  # a worker that has reported ready is its generation's from then on

    def kill(self) -> None:
        """End it and all it started."""
        if not self.ended.done():
            self.process.signal(signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def finish(self, ending: Ending) -> None:
        if not self.ended.done():
            self.ended.set_result(ending)
            self.process.close()


class _Request:
    """A child that was asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.child: asyncio.Future[Child] = asyncio.get_running_loop().create_future()


class Zygote:
    """The process that has imported everything for one executable. Killed, it is replaced by the next `Zygotes.get`."""

    def __init__(self, executable: str, log_file: Path) -> None:
        self.executable = executable
        self.used = time.monotonic()
        self.warm: asyncio.Future[Warm] = asyncio.get_running_loop().create_future()
        self.children: dict[int, Child] = {}
        self._waiting: dict[int, _Request] = {}
        self._numbers = itertools.count(1)
        self._log_file = log_file
        self._log_start = log_file.stat().st_size if log_file.exists() else 0
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [executable, "-m", "autodeploy_magic.zygote", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    env=environment() | QUIET,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise SupervisorFailed(
                    f"the Python {executable} cannot be started",
                    why=str(error),
                    fix="deploy again from a kernel whose environment exists",
                ) from error
        ours.setblocking(False)
        self._socket = ours
        self._inbox = Inbox(ours)
        asyncio.get_running_loop().add_reader(ours, self._receive)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._socket.fileno() >= 0

    @property
    def was_warm(self) -> bool:
        return self.warm.done() and not self.warm.cancelled()

    async def start(
        self, kind: Kind, order: dict[str, Any], log_fd: int, listening: Sequence[socket.socket] = ()
    ) -> Child:
        """Start a child and hand it its order. Raises `SupervisorFailed` where the zygote cannot."""
        self.used = time.monotonic()
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_ANSWER_BYTES)
        request = _Request(reader, writer)
        number = next(self._numbers)
        self._waiting[number] = request
        try:
            with theirs:
                fds = [theirs.fileno(), log_fd, *(item.fileno() for item in listening)]
                self._send({"id": number, "kind": kind}, fds)
            writer.write(msgspec.json.encode(order) + b"\n")
            return await request.child
        except BaseException:
            writer.close()  # the child finds its channel closed, and ends
            raise
        finally:
            del self._waiting[number]

    def close(self) -> None:
        """Let it end. Its jobs end with it, its workers do not."""
        self._gone()

    def _send(self, message: dict[str, Any], fds: list[int]) -> None:
        try:
            send(self._socket, message, fds)
        except OSError as error:
            self._gone()
            raise self._failure() from error

    def _receive(self) -> None:
        try:
            messages = self._inbox.receive()
        except BlockingIOError:
            return
        except ConnectionResetError:
            messages = None
        if messages is None:
            self._gone()
            return
        for message, _ in messages:
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        if "warm" in message:
            warm = msgspec.convert(message["warm"], Warm)
            log.info("zygote %d is warm after %.2f s, forks: %s %s", self.pid, warm.seconds, warm.forks, warm.reason)
            self.warm.set_result(warm)
        elif "started" in message:
            # Entered at once: its end may be told in the same breath.
            request = self._waiting.get(message["started"])
            if request is None or request.child.done():
                # Who asked for it has gone, and its order may be in its hands: it has not begun with anything.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(message["pid"], signal.SIGKILL)
            else:
                child = self.children[message["pid"]] = Child(message["pid"], request.reader, request.writer)
                request.child.set_result(child)
        elif "refused" in message:
            request = self._waiting.get(message["refused"])
            if request is not None and not request.child.done():
                why = message["why"]
                request.child.set_exception(
                    SupervisorFailed("no process could be started", why=why, fix="end some programs, and try again")
                )
        elif "ended" in message:
            ended = self.children.pop(message["ended"], None)
            if ended is not None:
                ended.finish(Ending(message["status"]))

    def _gone(self) -> None:
        if not self.alive:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        for request in self._waiting.values():
            if not request.child.done():
                request.child.set_exception(self._failure())
        if not self.warm.done():
            self.warm.cancel()
        for child in self.children.values():
            # Not our children: how they end is not told to us any more, only that they do.
            _keep(asyncio.create_task(_watch(child)))
        self.children = {}
        _keep(asyncio.create_task(self._reap()))

    async def _reap(self) -> None:
        await asyncio.to_thread(self._process.wait)
        log.info("zygote %d of %s ended: %s", self.pid, self.executable, self._process.returncode)

    def _failure(self) -> SupervisorFailed:
        return SupervisorFailed(
            f"the process that starts workers for {self.executable} ended",
            why=tail(self._log_file, 12, since=self._log_start),
            fix="try again; is autodeploy_magic installed in that environment?",
        )


def environment() -> dict[str, str]:
    """This process's environment, and where this package runs from a checkout, the way to it."""
    root = str(Path(autodeploy_magic.__file__).resolve().parents[1])
    found = dict(os.environ)
    found.pop("AUTODEPLOY_SIGNING_PASSWORD", None)  # what signs is the kernel alone
    known = found.get("PYTHONPATH", "").split(os.pathsep)
    if not root.endswith(("site-packages", "dist-packages")) and root not in known:
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [root, *known]))
    return found


async def _watch(child: Child) -> None:
    await child.process.gone()
    child.finish(Ending(None))


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """The loop holds tasks weakly."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
