"""What this process and those that it started take: CPU time, memory, threads, files.

Read from /proc, and so on Linux alone; elsewhere nothing is told. Memory is the proportional set size, in which what
several processes share is counted once.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from autodeploy_magic.metrics.resources import Resources

__all__ = ["EVERY_S", "Usage"]

EVERY_S = 1.0
_PROC = Path("/proc")


class Usage:
    """Looks at this process and those below it. `look` is called about once a second, always by one thread."""

    def __init__(self) -> None:
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._cpu: dict[int, float] = {}
        self._then = time.monotonic()
        self._looked = False

    def look(self) -> Resources | None:
        """What was taken since the look before, as a row that ends now and knows nothing of the disk.

        None for the first, before which nothing is known of the time that was used, for one that follows too soon, and
        where there is no /proc.
        """
        now = time.monotonic()
        if not _PROC.is_dir() or now - self._then < EVERY_S / 2:
            return None
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
        looked, self._looked = self._looked, True
        self._cpu = seen
        span_s, self._then = now - self._then, now
        if not looked:
            return None
        return Resources(round(time.time()), span_s, len(seen), cpu_s, memory, rss, threads, files)


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
