"""What was recorded, deleted for good: nothing of it is left in the file, nor in the log that is written before it.

A row that SQLite deletes stays readable in the file until something is written over it. Here it is overwritten, and the
file is then written anew, which leaves out what older deletions have left.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from autodeploy_magic.reservoir.schema import open_for_writing

__all__ = ["forget"]

WAIT_S = 10.0
"""How long it waits for those who write and read meanwhile. Workers wait shorter, and write later."""
TRIES = 5
AT_ONCE = 1_000
"""Requests of one transaction."""

_REQUESTS = "DELETE FROM requests WHERE number IN (SELECT number FROM requests WHERE {} LIMIT ?)"
_LABELS = (
    "DELETE FROM labels WHERE number <= ? AND (request IN (SELECT id FROM requests WHERE {})"
    " OR (at < ? AND NOT EXISTS (SELECT 1 FROM requests WHERE id = labels.request)))"
)


def forget(path: Path, before_s: float | None = None) -> tuple[int, int]:
    """Delete the requests of before a time (seconds since the epoch; None: all there are now) with their labels.

    Labels whose request is not there go where they came before it. Workers may write meanwhile; what they write from
    now on stays. Returns how many requests and labels were deleted. Raises `sqlite3.Error`, `OSError`, and
    `TimeoutError` where somebody reads for so long that the rest of them cannot be removed from the disk: call again.
    """
    if not path.exists():
        return 0, 0
    with closing(open_for_writing(path, durable=True)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * WAIT_S)}")
        connection.execute("PRAGMA secure_delete = ON")
        newest, labelled = connection.execute(
            "SELECT (SELECT max(number) FROM requests), (SELECT max(number) FROM labels)"
        ).fetchone()
        where, given = ("number <= ?", newest or 0) if before_s is None else ("at < ?", before_s)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            before = float("inf") if before_s is None else before_s
            labels = connection.execute(_LABELS.format(where), (labelled or 0, given, before)).rowcount
        requests = 0
        while True:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                gone = connection.execute(_REQUESTS.format(where), (given, AT_ONCE)).rowcount
            requests += gone
            if gone < AT_ONCE:
                break
        _rewrite(connection, path)
    return requests, labels


def _rewrite(connection: sqlite3.Connection, path: Path) -> None:
    """Write the file anew, and empty its log."""
    for attempt in range(TRIES):
        try:
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or attempt == TRIES - 1:
                raise
            continue  # SQLite itself has waited
        if not busy:
            return
    raise TimeoutError(f"{path.name} is read all the time: what was deleted is not yet removed from the disk")
