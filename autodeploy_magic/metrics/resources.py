"""What a deployment took of the machine: rows of the table `resources`, written by the supervisor."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from autodeploy_magic.metrics.tables import KEEP_MINUTES_S

__all__ = ["KEEP_S", "UNKNOWN", "Resources", "forget_resources", "insert_resources", "last_resources"]

KEEP_S = 2 * 3600
"""Seconds are kept this long and a little longer; minutes of them as long as those of the roll-ups."""
_SPARE_S = 300

UNKNOWN = -1
"""In `disk_bytes` and `disk_free_bytes`: the disk has not answered yet."""


class Resources(NamedTuple):
    """The `span_s` seconds that end with `second`; the columns of the table, in their order.

    Without `processes` the deployment was down, and what would be of them is 0 here and nothing where it is shown.
    """

    second: int
    span_s: float
    processes: int
    cpu_s: float
    memory_bytes: int
    rss_bytes: int
    threads: int
    files: int
    disk_bytes: int = UNKNOWN
    disk_free_bytes: int = UNKNOWN
    gpu_share: float | None = None
    gpu_memory_bytes: int | None = None

    def covers(self, second: int) -> bool:
        """Whether it tells of that second."""
        return self.second - max(1, round(self.span_s)) < second <= self.second


_COLUMNS = ", ".join(Resources._fields)
_VALUES = ", ".join("?" * len(Resources._fields))
_INSERT = f"INSERT OR IGNORE INTO resources ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608 - names of ours


def insert_resources(connection: sqlite3.Connection, rows: Iterable[Resources]) -> None:
    """Write rows down. A second that is there already stays as it is: an earlier supervisor wrote it."""
    connection.executemany(_INSERT, rows)


def forget_resources(connection: sqlite3.Connection, now: float) -> None:
    """Delete what is older than it is kept; `now` is in seconds since the epoch."""
    connection.execute("DELETE FROM resources WHERE second < ?", (int(now) - KEEP_S - _SPARE_S,))
    connection.execute("DELETE FROM resource_minutes WHERE minute < ?", (int(now) - KEEP_MINUTES_S,))


def last_resources(file: Path) -> Resources | None:
    """The newest row that is written down; None where there is none."""
    if not file.exists():
        return None
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'resources'").fetchone() is None:
            return None
        row = connection.execute(f"SELECT {_COLUMNS} FROM resources ORDER BY second DESC LIMIT 1").fetchone()  # noqa: S608 - names of ours
    return Resources._make(row) if row is not None else None
