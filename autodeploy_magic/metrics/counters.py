"""What a deployment has counted since it was first served: what only grows, read as it was at one moment."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.metrics.schema import VERSION

__all__ = ["Counted", "Counters", "counters"]

WINDOW_S = 5
"""A scraper comes every few seconds: it is told the most of so many seconds, so that it sees what is short."""
LATE_S = 1
"""Roll-ups of the second that has just ended may still be on their way."""
FRESH_S = 30


@dataclass(frozen=True, slots=True)
class Counted:
    """One version, over all workers. Times are sums in seconds; `last` is the latest second with an answer.

    `latencies` are by the bucket of `metrics.histogram` and `latency_s` is their sum, `answers` by status, `runs` by
    the rows of a run. `rows` and `last` are of what was neither refused nor failed. `firsts` are by bucket, too: how
    long the first items of streamed answers took, in all `first_s`.
    """

    rows: int = 0
    executions: int = 0
    queue_s: float = 0.0
    run_s: float = 0.0
    last: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    dropped: int = 0
    latency_s: float = 0.0
    first_s: float = 0.0
    answers: dict[int, int] = field(default_factory=dict)
    latencies: dict[int, int] = field(default_factory=dict)
    runs: dict[int, int] = field(default_factory=dict)
    firsts: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counters:
    """`in_flight` and `waiting` are, by version, the most at once in one of the last seconds; without those of none.

    `cpu_s` is what the processes used as long as they were watched, `resources` the newest row: both None where nobody
    watched, `resources` also where it is old.
    """

    versions: dict[int, Counted]
    in_flight: dict[int, int]
    waiting: dict[int, int]
    cpu_s: float | None = None
    resources: Resources | None = None


def counters(path: Path) -> Counters | None:
    """Read `metrics.sqlite`; None where no worker of this release has written yet. Raises `sqlite3.Error`."""
    if not path.exists():
        return None
    now = int(time.time())
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
        connection.execute("BEGIN")  # all tables as they were at one moment
        if connection.execute("PRAGMA user_version").fetchone()[0] < VERSION:
            return None
        versions = {
            version: Counted(*row)
            for version, *row in connection.execute(
                "SELECT version, rows, executions, queue_s, run_s, last, bytes_in, bytes_out, dropped, latency_s,"
                " ifnull(first_s, 0.0) FROM totals LEFT JOIN first_totals USING (version) ORDER BY version"
            )
        }
        for version, status, count in connection.execute("SELECT version, status, count FROM answers"):
            versions.setdefault(version, Counted()).answers[status] = count
        for version, bucket, count in connection.execute("SELECT version, bucket, count FROM latencies"):
            versions.setdefault(version, Counted()).latencies[bucket] = count
        for version, rows, count in connection.execute("SELECT version, rows, count FROM runs"):
            versions.setdefault(version, Counted()).runs[rows] = count
        for version, bucket, count in connection.execute("SELECT version, bucket, count FROM first_latencies"):
            versions.setdefault(version, Counted()).firsts[bucket] = count
        busy = connection.execute(
            "SELECT version, max(in_flight), max(waiting) FROM ("
            " SELECT version, sum(in_flight) AS in_flight, sum(waiting) AS waiting FROM rollups"
            " WHERE second >= ? GROUP BY version, second) GROUP BY version",
            (now - WINDOW_S - LATE_S,),
        ).fetchall()
        cpu = connection.execute("SELECT cpu_s FROM resource_totals").fetchone()
        columns = ", ".join(Resources._fields)
        row = connection.execute(
            f"SELECT {columns} FROM resources WHERE second >= ? ORDER BY second DESC LIMIT 1",  # noqa: S608 - names of ours
            (now - FRESH_S,),
        ).fetchone()
    return Counters(
        versions,
        {version: count for version, count, _ in busy},
        {version: count for version, _, count in busy},
        cpu[0] if cpu is not None else None,
        Resources._make(row) if row is not None else None,
    )
