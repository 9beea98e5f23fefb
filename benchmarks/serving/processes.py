"""Whole trees of processes: what they cost, how they are stopped for a while, and how they are ended."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psutil

__all__ = ["connections", "cpu_seconds", "end", "pause", "proceed", "pss_bytes", "spent", "tree"]

_GRACE_S = 10.0


def tree(roots: Iterable[int]) -> list[int]:
    """The processes `roots` and all that came from them and still run."""
    found: dict[int, None] = {}
    for root in roots:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(root)
            found.update(dict.fromkeys([root, *(child.pid for child in process.children(recursive=True))]))
    return list(found)


def cpu_seconds(roots: Iterable[int]) -> dict[int, float]:
    """User and system time of each process of the trees, and of its children that have ended and were waited for."""
    times: dict[int, float] = {}
    for pid in tree(roots):
        with contextlib.suppress(psutil.Error, OSError):
            ticks = psutil.Process(pid).cpu_times()
            ended = getattr(ticks, "children_user", 0.0) + getattr(ticks, "children_system", 0.0)
            times[pid] = ended + (_nanoseconds(pid) if sys.platform == "linux" else ticks.user + ticks.system)
    return times


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Seconds of CPU between two readings."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def _nanoseconds(pid: int) -> float:
    """A process's CPU clock, which is finer than the hundredths of a second that the other figures have.

    Source: the clock ids of clock_getcpuclockid(3), `CPUCLOCK_SCHED` of linux/posix-timers.h.
    """
    return time.clock_gettime((~pid << 3) | 2)


def pss_bytes(pid: int) -> int:
    """Memory of a process, where what n processes share counts as one n-th for each; its resident set elsewhere."""
    memory = psutil.Process(pid).memory_full_info()
    return int(getattr(memory, "pss", 0) or memory.rss)


def connections(server: int, client: int, port: int) -> int:
    """How many connections of one process another one holds, at its port."""
    asking = {one.laddr for one in _established(client)}
    return sum(one.laddr.port == port and one.raddr in asking for one in _established(server))


def _established(pid: int) -> list[Any]:
    found = psutil.Process(pid).net_connections("tcp")
    return [one for one in found if one.status == psutil.CONN_ESTABLISHED]


def pause(roots: Iterable[int]) -> None:
    """Stop trees where they are: what idles by polling costs nothing meanwhile."""
    for pid in tree(roots):
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).suspend()


def proceed(roots: Iterable[int]) -> None:
    """Let paused trees go on."""
    for pid in reversed(tree(roots)):
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).resume()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything that came from it: asked first, then at once."""
    processes = _held(tree([process.pid]))
    proceed([process.pid])
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    _, left = psutil.wait_procs([one for one in processes if one.pid != process.pid], timeout=1.0)
    for one in left:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.kill()
    process.wait()
    psutil.wait_procs(left, timeout=_GRACE_S)


def _held(pids: Sequence[int]) -> list[psutil.Process]:
    held = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            held.append(psutil.Process(pid))
    return held
