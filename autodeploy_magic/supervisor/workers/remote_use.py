"""What the replicas of a cluster take, each measured in its own process, added up second by second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from autodeploy_magic.metrics.resources import Resources

__all__ = ["RemoteUse"]

SILENT_S = 3.0
"""A replica that has not told of another second for so long is not waited for."""
WAIT_S = 8
"""A second is not waited for longer than this, whoever has not told of it."""
_FIELDS = len(Resources._fields) - 4
"""Those before the disk's and the GPUs', of which a replica knows nothing."""


class RemoteUse:
    """Adds the replicas' rows up. A second is told once, when all that are heard have told of it, and none is told
    again; a replica that is gone drops out with the first second that it does not tell of. For one thread at a time.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Resources, ...]] = {}
        self._heard: dict[str, tuple[int, float]] = {}
        self._told = 0

    def take(self, replicas: Iterable[Mapping[str, Any]], now_s: float, now: float | None = None) -> list[Resources]:
        """The seconds that are complete now, oldest first, from what replicas tell about themselves.

        `now_s` is in seconds since the epoch, `now` in monotonic ones.
        """
        now = time.monotonic() if now is None else now
        self._rows = {str(about.get("replica")): _rows(about.get("used", ())) for about in replicas}
        newest = {replica: rows[-1].second for replica, rows in self._rows.items() if rows}
        for replica, second in newest.items():
            if second > self._heard.get(replica, (0, 0.0))[0]:
                self._heard[replica] = second, now
        self._heard = {replica: heard for replica, heard in self._heard.items() if replica in newest}
        if not newest:
            return []
        awaited = [second for second, at in self._heard.values() if now - at <= SILENT_S]
        last = max(min(awaited, default=0), min(max(newest.values()), int(now_s) - WAIT_S))
        first = max(self._told + 1, min(row.second for rows in self._rows.values() for row in rows))
        found = [row for row in map(self._sum, range(first, last + 1)) if row.processes]
        self._told = max(self._told, last)
        return found

    def _sum(self, second: int) -> Resources:
        """That second of all; a row that covers several seconds gives each its part."""
        total = Resources(second, 1.0, 0, 0.0, 0, 0, 0, 0)
        for rows in self._rows.values():
            row = next((row for row in rows if row.covers(second)), None)
            if row is not None:
                total = total._replace(
                    processes=total.processes + row.processes,
                    cpu_s=total.cpu_s + row.cpu_s / max(row.span_s, 0.001),
                    memory_bytes=total.memory_bytes + row.memory_bytes,
                    rss_bytes=total.rss_bytes + row.rss_bytes,
                    threads=total.threads + row.threads,
                    files=total.files + row.files,
                )
        return total


def _rows(given: Iterable[Any]) -> tuple[Resources, ...]:
    """The rows of a replica, in the order of their time; another release may tell more of each."""
    return tuple(sorted(Resources(*row[:_FIELDS]) for row in given))
