"""What the processes of a container take, written down every second: nobody outside of it does that.

Read from /proc, for this process and all that it started, and so on Linux alone; elsewhere nothing is told. Memory is
the proportional set size, in which what several processes share is counted once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from autodeploy_magic.metrics.ledger import Ledger
from autodeploy_magic.metrics.resources import Resources

__all__ = ["Resourced", "watched"]

EVERY_S = 1.0
_DISK_EVERY = 60
_FIRST = 2
_PROC = Path("/proc")


class Resourced:
    """Looks at this process and those below it. `look` is called about once a second, always by one thread."""

    def __init__(self, name: str, state: Path) -> None:
        self._state = state
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._ledger = Ledger(name, state / "metrics.sqlite", time.monotonic())
        self._cpu: dict[int, float] = {}
        self._then = time.monotonic()
        self._looks = 0
        self._disk = (-1, -1)

    def look(self) -> None:
        """Take a row, and write those that wait where it is time to."""
        now = time.monotonic()
        if not _PROC.is_dir() or now - self._then < EVERY_S / 2:
            return
        cpu_s, rss, memory, threads, files = 0.0, 0, 0, 0, 0
        seen: dict[int, float] = {}
        for pid in _family(os.getpid()):
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended
                fields = (_PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
                seen[pid] = (int(fields[11]) + int(fields[12])) / self._ticks
                cpu_s += seen[pid] - self._cpu.get(pid, 0.0)
                threads += int(fields[17])
                rss += int(fields[21]) * self._page
                memory += _proportional(pid) or int(fields[21]) * self._page
                files += len(os.listdir(_PROC / str(pid) / "fd"))
        if self._looks % _DISK_EVERY == 0:
            self._disk = _disk(self._state)
        first, self._cpu = not self._looks, seen
        self._looks += 1
        span_s, self._then = now - self._then, now
        if not first:  # before the first look nothing is known of the time that was used
            row = Resources(round(time.time()), span_s, len(seen), cpu_s, memory, rss, threads, files, *self._disk)
            self._ledger.add(row)
        if self._looks == _FIRST:
            self._ledger.write(now)  # who asks soon after the start is told something
        self._ledger.write_due(now)

    def close(self) -> None:
        """Write what waits."""
        self._ledger.write(time.monotonic())
        self._ledger.close()


@contextlib.contextmanager
def watched(name: str, state: Path) -> Iterator[None]:
    """Look from a thread of its own meanwhile: for a process that forks no other."""
    ended = threading.Event()

    def run() -> None:
        resourced = Resourced(name, state)
        while not ended.wait(EVERY_S):
            resourced.look()
        resourced.close()

    thread = threading.Thread(target=run, name="resources", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(EVERY_S)


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in (_PROC / str(one) / "task").iterdir():
                found += [int(child) for child in (task / "children").read_text("ascii").split()]
    return found


def _proportional(pid: int) -> int:
    """The proportional set size in bytes; 0 where it may not be known."""
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _disk(folder: Path) -> tuple[int, int]:
    """What the state folder holds, and what is free there, in bytes."""
    try:
        held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return held, shutil.disk_usage(folder).free
    except OSError:
        return -1, -1
