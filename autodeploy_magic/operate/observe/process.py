"""One process: CPU time, memory, threads, files and children, at a price that can be paid every second.

On Linux a process is its open `/proc/PID/stat`: what is read from it is of the process that was there when it was
opened, and fails once that has ended, whoever has its pid by then. A reading takes about 5 µs. Elsewhere psutil tells.

What `open` compares a process with is its start time, as everywhere in this package; see `supervisor.workers.watch`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, Protocol

import psutil

__all__ = ["PortableProcess", "Process", "ProcfsProcess", "Reading", "open_process"]

_SAME_WITHIN_S = 2.0  # a start time is counted from the boot, whose own time moves when the clock is set
_READ_BYTES = 4096
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Reading(NamedTuple):
    """A process at one moment. `cpu_s` is user and system time since its start; `stopped` while a signal holds it."""

    cpu_s: float
    rss_bytes: int
    threads: int
    parent: int
    stopped: bool = False


class Process(Protocol):
    """A process that was found and is held: all of these raise `ProcessLookupError` once it has ended.

    A zombie has ended. `age_s` is how long it had run when it was opened.
    """

    pid: int
    age_s: float

    def read(self) -> Reading: ...

    def memory(self) -> int | None:
        """Its proportional set size in bytes (USS where the platform tells no PSS); None where it may not be known.

        Expensive: about 10 ms for each GB that it holds.
        """

    def files(self) -> int:
        """How many files and sockets it has open."""

    def children(self) -> list[int]:
        """Those that it started itself, and that still run."""

    def close(self) -> None: ...


class ProcfsProcess:
    """A process of Linux, from its files under /proc."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._clock = (~pid << 3) | 2  # the process's CPU clock: clock_getcpuclockid(3), CPUCLOCK_SCHED
        self._precise = True
        try:
            self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ProcessLookupError(f"{pid} has ended") from error
        try:
            self.read()
            started_s = int(self._fields()[19]) / _TICKS  # since the boot
            self.age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        fields = self._fields()
        if fields[0] in b"ZX":
            raise ProcessLookupError(f"{self.pid} has ended")
        cpu_s, rss_bytes = self._cpu_s(fields), int(fields[21]) * _PAGE_BYTES
        return Reading(cpu_s, rss_bytes, int(fields[17]), int(fields[1]), fields[0] in b"Tt")

    def memory(self) -> int | None:
        try:
            with open(f"/proc/{self.pid}/smaps_rollup", "rb", buffering=0) as file:  # noqa: PTH123 - called often
                text = file.read(_READ_BYTES) or b""
        except ProcessLookupError:
            raise
        except OSError:
            return None  # a kernel before 4.14, or a process that may not be looked into
        self.read()  # and it was this process, not another that has its pid
        start = text.find(b"\nPss:")
        return int(text[start + 5 : text.index(b"kB", start)]) * 1024 if start >= 0 else None

    def files(self) -> int:
        folder = f"/proc/{self.pid}/fd"
        try:
            return os.stat(folder).st_size or len(os.listdir(folder))  # the size is their number since Linux 6.2
        except FileNotFoundError as error:
            raise ProcessLookupError(f"{self.pid} has ended") from error

    def children(self) -> list[int]:
        try:
            found = [pid for thread in os.listdir(f"/proc/{self.pid}/task") for pid in self._children_of(thread)]
        except FileNotFoundError as error:
            raise ProcessLookupError(f"{self.pid} has ended") from error
        self.read()
        return found

    def close(self) -> None:
        if self._stat >= 0:
            os.close(self._stat)
            self._stat = -1

    def _fields(self) -> list[bytes]:
        """From the state on, since the name before it may hold anything: [0] is field 3 of proc_pid_stat(5)."""
        return os.pread(self._stat, _READ_BYTES, 0).rpartition(b")")[2].split()

    def _cpu_s(self, fields: list[bytes]) -> float:
        if self._precise:
            try:
                return time.clock_gettime(self._clock)
            except OSError:
                # Ended just now, or a kernel without these clocks: its hundredths of seconds then, from now on.
                self._precise = False
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _children_of(self, thread: str) -> list[int]:
        try:
            with open(f"/proc/{self.pid}/task/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123
                return [int(pid) for pid in (file.read() or b"").split()]
        except (FileNotFoundError, ProcessLookupError):
            return []  # the thread has ended


class PortableProcess:
    """A process as psutil tells of it, on any platform."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        with self._told():
            self._process = psutil.Process(pid)
            self.age_s = _age_s(self._process.create_time())
        self.read()

    def read(self) -> Reading:
        process = self._process
        with self._told(), process.oneshot():
            status = process.status() if process.is_running() else psutil.STATUS_ZOMBIE
            if status == psutil.STATUS_ZOMBIE:
                raise ProcessLookupError(f"{self.pid} has ended")
            cpu, memory = process.cpu_times(), process.memory_info()
            cpu_s, stopped = cpu.user + cpu.system, status == psutil.STATUS_STOPPED
            return Reading(cpu_s, int(memory.rss), process.num_threads(), process.ppid(), stopped)

    def memory(self) -> int | None:
        try:
            with self._told():
                told = self._process.memory_full_info()
        except PermissionError:
            return None
        return int(getattr(told, "pss", 0) or told.uss)

    def files(self) -> int:
        try:
            with self._told():
                return self._process.num_fds()
        except PermissionError:
            return 0

    def children(self) -> list[int]:
        with self._told():
            return [child.pid for child in self._process.children()]

    def close(self) -> None:
        """Nothing is held."""

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The system's own errors instead of psutil's."""
        try:
            yield
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(f"{self.pid} has ended") from error
        except psutil.AccessDenied as error:
            raise PermissionError(f"{self.pid} may not be looked into") from error


def _age_s(created: float) -> float:
    """How long ago a process started, from its start time as psutil has it."""
    if psutil.LINUX:  # where that is so long after the whole second in which the machine started
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (created - psutil.boot_time())
    return time.time() - created


def open_process(pid: int, created: float | None = None) -> Process:
    """Hold the process `pid`, which started at `created` (seconds since the epoch) where that is given.

    Raises `ProcessLookupError` where it has ended, or its pid has become another's.
    """
    process = _kind()(pid)
    try:
        if created is not None:
            _compare(pid, created)
            process.read()  # still the one that was opened
    except BaseException:
        process.close()
        raise
    return process


def _compare(pid: int, created: float) -> None:
    try:
        found = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(f"{pid} has ended") from error
    if abs(found - created) > _SAME_WITHIN_S:
        raise ProcessLookupError(f"{pid} has ended, and its number is another process's now")


@cache
def _kind() -> type[ProcfsProcess | PortableProcess]:
    """Whether /proc tells everything that is read here; some kernels and sandboxes leave files out."""
    own = f"/proc/{os.getpid()}/task/{os.getpid()}/children"
    return ProcfsProcess if sys.platform == "linux" and os.access(own, os.R_OK) else PortableProcess
