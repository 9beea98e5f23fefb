"""The processes of one deployment together: its workers, and what they started.

What is cheap is read each time. What is not is read rarely, at moments that differ from deployment to deployment:
children and open files every `RARELY_S`; the memory that is really its own (PSS) every `MEMORY_EVERY_S`, or where the
resident set moved by more than `MOVED`, and between that follows the resident set.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import NamedTuple

from autodeploy_magic.operate.observe.process import Process, Reading, open_process

__all__ = ["Tree", "Usage"]

RARELY_S = 5.0
MEMORY_EVERY_S = 12.0
MOVED = 0.02
_MEMORY_SHARE = 0.001
"""Of a core at most goes into reading a process's memory: 2 GB take 20 ms, and are read every 20 s."""
_MOVING_SHARE = 0.01
"""The same while its memory moves."""
_Told = tuple[float, int, int, int, int]
"""A process: CPU seconds, memory, resident set, threads, files; as in `Usage`."""
_SLACK_S = 0.05  # start times are told in hundredths of a second


class Usage(NamedTuple):
    """What a tree took. `cpu_s` since it was read before; the rest is at this moment. `memory_bytes`: see `Process`."""

    processes: int = 0
    cpu_s: float = 0.0
    memory_bytes: int = 0
    rss_bytes: int = 0
    threads: int = 0
    files: int = 0


class _Member:
    """A process of the tree, and what was read of it last. Times are monotonic seconds."""

    def __init__(self, process: Process, now: float) -> None:
        self.process = process
        self.cpu_s = 0.0
        self.files = 0
        self._own = 1.0  # memory as a share of the resident set
        self._rss_then = 0
        self._memory_due = now
        self._memory_not_before = now

    def memory(self, now: float, rss_bytes: int) -> int:
        """Of its resident set, what counts as its own."""
        moved = abs(rss_bytes - self._rss_then) > MOVED * self._rss_then
        if now >= self._memory_due or (moved and now >= self._memory_not_before):
            started = time.perf_counter()
            own = self.process.memory()
            cost = time.perf_counter() - started
            first = self._rss_then == 0
            self._own = own / rss_bytes if own is not None and rss_bytes else 1.0
            self._rss_then = rss_bytes
            # The first round is shortened by chance, so that deployments which were found together part.
            wait = MEMORY_EVERY_S * (random.random() if first else 1.0)
            self._memory_due = now + max(wait, cost / _MEMORY_SHARE)
            self._memory_not_before = now + max(1.0, cost / _MOVING_SHARE)
        return round(rss_bytes * self._own)


class Tree:
    """Reads one deployment's processes again and again. Its callers take turns: it has no lock."""

    def __init__(self) -> None:
        self._roots: dict[tuple[int, float], _Member | None] = {}  # None: it has ended, and is not looked for again
        self._children: dict[int, _Member] = {}
        self._read_at = float("-inf")
        self._rarely_due = float("-inf")

    @property
    def pids(self) -> list[int]:
        """The processes that lived when they were read last."""
        return [member.process.pid for member in self._members()]

    def read(self, roots: Iterable[tuple[int, float]], now: float) -> Usage:
        """Read the processes `roots` (pid, start time in seconds since the epoch) and their children.

        `now` is in monotonic seconds. What a process used before it was first seen counts where it was born since the
        last reading; what one used that has ended since does not, since nobody knows it. Without a root nothing lives.
        """
        since_s = now - self._read_at
        self._read_at = now
        rarely = now >= self._rarely_due
        if rarely:
            first = self._rarely_due == float("-inf")
            self._rarely_due = now + RARELY_S * (random.random() if first else 1.0)
        self._follow(set(roots), now, since_s)
        if rarely:
            self._find_children(now, since_s)
        readings = self._readings(now, rarely)
        if not any(self._roots.values()):
            self.close()
            return Usage()
        return Usage(len(readings), *map(sum, zip(*readings, strict=True)))

    def close(self) -> None:
        """Let go of all processes; those that have ended stay known as such."""
        for member in self._members():
            member.process.close()
        self._children.clear()
        self._roots = dict.fromkeys(self._roots)

    def _members(self) -> list[_Member]:
        return [*filter(None, self._roots.values()), *self._children.values()]

    def _follow(self, roots: set[tuple[int, float]], now: float, since_s: float) -> None:
        for key in self._roots.keys() - roots:
            member = self._roots.pop(key)
            if member is not None:
                member.process.close()
        for pid, created in roots - self._roots.keys():
            self._roots[pid, created] = self._open(pid, created, now, since_s)

    def _find_children(self, now: float, since_s: float) -> None:
        found = {member.process.pid: member for member in self._members()}
        parents = list(found.values())
        while parents:
            parent = parents.pop()
            try:
                children = parent.process.children()
            except ProcessLookupError:
                continue
            for pid in children:
                if pid not in found:
                    member = self._open(pid, None, now, since_s, parent.process.pid)
                    if member is not None:
                        found[pid] = self._children[pid] = member
                        parents.append(member)

    def _open(self, pid: int, created: float | None, now: float, since_s: float, parent: int = 0) -> _Member | None:
        try:
            process = open_process(pid, created)
        except ProcessLookupError:
            return None
        try:
            reading = process.read()
        except ProcessLookupError:
            process.close()
            return None
        if parent and reading.parent != parent:
            process.close()
            return None
        member = _Member(process, now)
        member.cpu_s = 0.0 if process.age_s <= since_s + _SLACK_S and since_s != float("inf") else reading.cpu_s
        return member

    def _readings(self, now: float, rarely: bool) -> list[_Told]:
        """What each process that lives tells. The others are let go."""
        readings: list[_Told] = []
        for key, root in self._roots.items():
            if root is not None and not self._add(root, readings, now, rarely):
                self._roots[key] = None
        for pid, child in list(self._children.items()):
            if not self._add(child, readings, now, rarely):
                del self._children[pid]
        return readings

    def _add(self, member: _Member, readings: list[_Told], now: float, rarely: bool) -> bool:
        try:
            reading: Reading = member.process.read()
            if rarely or not member.files:
                member.files = member.process.files()
            memory = member.memory(now, reading.rss_bytes)
        except ProcessLookupError:
            member.process.close()
            return False
        used_s = max(0.0, reading.cpu_s - member.cpu_s)
        member.cpu_s = reading.cpu_s
        readings.append((used_s, memory, reading.rss_bytes, reading.threads, member.files))
        return True
