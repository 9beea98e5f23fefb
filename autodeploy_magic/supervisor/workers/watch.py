"""Processes by their pid: which one it is, and when it ends. Works for processes that are nobody's children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Ending", "Watched", "boot_id", "create_time", "is_same", "wait_gone", "watched"]

_SAME_WITHIN_S = 2.0  # a start time is counted from the boot, whose own time moves when the clock is set
_POLL_S = 0.1
_ENGINE_S = 10.0


class Ending:
    """How a process ended: its exit code, the signal that ended it, or neither where nobody could know."""

    def __init__(self, status: int | None) -> None:
        self.status = status

    def __str__(self) -> str:
        if self.status is None:
            return "it ended"
        if self.status >= 0:
            return f"it ended with exit code {self.status}"
        hint = ", which is also what the system does when memory runs out" if -self.status == signal.SIGKILL else ""
        try:
            return f"it was ended by {signal.Signals(-self.status).name}{hint}"
        except ValueError:
            return f"it was ended by signal {-self.status}"


@cache
def boot_id() -> str:
    """What tells this boot of the machine from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except FileNotFoundError:
        import psutil

        return str(int(psutil.boot_time()))


def create_time(pid: int) -> float | None:
    """When the process started, in seconds since the epoch; None where it has ended."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_same(pid: int, created: float, boot: str) -> bool:
    """Whether the process that was recorded so still runs; a later process with its pid does not count."""
    if boot != boot_id():
        return False
    found = create_time(pid)
    return found is not None and abs(found - created) <= _SAME_WITHIN_S


def wait_gone(pid: int, timeout_s: float) -> bool:
    """Block until a process has ended, whoever its parent is; false where it has not within `timeout_s`."""
    try:
        descriptor = _pidfd(pid)
    except ProcessLookupError:
        return True
    if descriptor < 0:
        import psutil

        return not psutil.pid_exists(pid) or not psutil.wait_procs([psutil.Process(pid)], timeout_s)[1]
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        return bool(ended.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def _pidfd(pid: int) -> int:
    """A descriptor that holds a process; -1 where the system has none. Raises `ProcessLookupError`."""
    try:
        return os.pidfd_open(pid)
    except AttributeError:  # only Linux has them
        return -1


class Watched:
    """A running process, held so that its pid cannot come to mean another: signals reach it or nobody.

    Linux holds it by a pidfd. Elsewhere its start time is compared.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        created = create_time(pid)
        self.created = 0.0 if created is None else created
        self._pidfd = -1
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = _pidfd(pid)

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens where the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, number)
            elif is_same(self.pid, self.created, boot_id()):
                os.kill(self.pid, number)

    async def gone(self) -> None:
        """Wait until the process has ended."""
        if self._pidfd < 0:
            while is_same(self.pid, self.created, boot_id()):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(_POLL_S)
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Any] = loop.create_future()
        loop.add_reader(self._pidfd, _set, ended)
        try:
            await ended
        finally:
            loop.remove_reader(self._pidfd)

    def close(self) -> None:
        """Let go of the process."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class _Contained(Watched):
    """One in a container, which may be another user's: then its engine passes the signal on."""

    def __init__(self, pid: int, container: str) -> None:
        super().__init__(pid)
        self._engine, _, self._name = container.partition("/")

    def signal(self, number: int) -> None:
        try:
            super().signal(number)
        except PermissionError:
            subprocess.run(
                [self._engine, "kill", "--signal", signal.Signals(number).name, self._name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_ENGINE_S,
                check=False,
            )


def watched(pid: int, container: str = "") -> Watched:
    """A running process, held; of one in a container (ENGINE/NAME) also by that."""
    return _Contained(pid, container) if container else Watched(pid)


def _set(event: asyncio.Future[Any]) -> None:
    if not event.done():
        event.set_result(None)
