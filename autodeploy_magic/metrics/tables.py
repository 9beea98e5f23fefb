"""What is written into `metrics.sqlite`, how the file is opened for it, and how long it is kept."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from autodeploy_magic.metrics.schema import upgrade

__all__ = [
    "INSERT",
    "INSERT_COMPARISON",
    "INSERT_FIRST",
    "ComparisonRow",
    "FirstRow",
    "Rollup",
    "forget",
    "open_for_writing",
    "use_wal",
]

INSERT = (
    "INSERT INTO rollups (second, worker, version, requests, rows, refused, failed, bytes_in, bytes_out, dropped,"
    " seconds, unanswered_s, latency, statuses, executions, queue_s, run_s, batches, waiting, in_flight)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_COMPARISON = "INSERT INTO comparisons VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_FIRST = "INSERT INTO firsts VALUES (?, ?, ?, ?, ?)"
WAIT_S = 5.0
KEEP_S = 7 * 24 * 3600
KEEP_MINUTES_S = 30 * 24 * 3600


class Rollup(NamedTuple):
    """At most one second of one worker and version; the columns of the table, in their order."""

    second: int
    worker: int
    version: int
    requests: int
    rows: int
    refused: int
    failed: int
    bytes_in: int
    bytes_out: int
    dropped: int
    seconds: float
    unanswered_s: float
    latency: str
    statuses: str
    executions: int
    queue_s: float
    run_s: float
    batches: str
    waiting: int
    in_flight: int = 0


class ComparisonRow(NamedTuple):
    """At most one second of a shadow beside its champion; the columns of the table, in their order."""

    second: int
    worker: int
    champion: int
    challenger: int
    requests: int
    rows: int
    differing: int
    failed: int
    dropped: int
    difference: float
    champion_latency: str
    challenger_latency: str


class FirstRow(NamedTuple):
    """At most one second of one worker and version, of the streamed answers in it: how long their first items took."""

    second: int
    worker: int
    version: int
    first_s: float
    latency: str


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open `metrics.sqlite`, made where it is missing. WAL: a reader never waits for a writer, nor a writer for one.

    A file of an earlier release is upgraded, which may take seconds. Raises `sqlite3.Error` or `OSError`.
    """
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        path.chmod(0o600)
        use_wal(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def forget(connection: sqlite3.Connection, now: float) -> None:
    """Delete what is older than it is kept at the time `now` (seconds since the epoch); the totals stay.

    What else there is trims who writes it: see `resources` and `events`.
    """
    for table in ("rollups", "firsts", "comparisons"):
        connection.execute(f"DELETE FROM {table} WHERE second < ?", (int(now) - KEEP_S,))  # noqa: S608 - names of ours
    for table in ("minutes", "minute_latencies", "resource_minutes"):
        connection.execute(f"DELETE FROM {table} WHERE minute < ?", (int(now) - KEEP_MINUTES_S,))  # noqa: S608


def use_wal(connection: sqlite3.Connection) -> None:
    """Let a file have a write-ahead log: a reader never waits for a writer, nor a writer for one.

    SQLite waits for others in all but this, where two that change a new file could wait for each other.
    """
    until = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
        time.sleep(0.01)
