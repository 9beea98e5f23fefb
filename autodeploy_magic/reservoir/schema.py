"""The tables of `requests.sqlite`, and how the file is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodeploy_magic.metrics.tables import use_wal

__all__ = ["VERSION", "open_for_reading", "open_for_writing", "reading"]

VERSION = 1
"""SQLite's `user_version` of a file that has all this; 0 in a new one."""
WAIT_S = 5.0

_TABLES = (
    # Numbers only grow, also when rows are deleted: what is new is what has a larger one than was seen.
    """
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,      -- as the client was told it
    at REAL NOT NULL,             -- seconds since the epoch, UTC
    version INTEGER NOT NULL,
    status INTEGER NOT NULL,
    seconds REAL NOT NULL,
    rows INTEGER NOT NULL,
    kept TEXT,                    -- this and the following: JSON. NULL: all rows
    inputs TEXT,                  -- NULL: not kept
    outputs TEXT NOT NULL,
    confidence TEXT,
    error TEXT NOT NULL,
    body TEXT NOT NULL,
    size INTEGER NOT NULL         -- bytes of all that, about
)
""",
    "CREATE INDEX IF NOT EXISTS requests_by_time ON requests (at)",
    "CREATE INDEX IF NOT EXISTS requests_failed ON requests (number, size) WHERE status >= 500",
    # One for each row that somebody knows the true answer of, whether or not its request is recorded. A label that
    # replaces another takes a new number.
    """
CREATE TABLE IF NOT EXISTS labels (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL,
    row INTEGER NOT NULL,
    at REAL NOT NULL,
    label TEXT NOT NULL,          -- JSON
    before TEXT,                  -- JSON: the one that it replaced
    changes INTEGER NOT NULL,     -- how often it was replaced by another
    source TEXT NOT NULL,
    UNIQUE (request, row)
)
""",
    "CREATE INDEX IF NOT EXISTS labels_by_time ON labels (at)",
)


def open_for_writing(path: Path, *, durable: bool = False) -> sqlite3.Connection:
    """Open `requests.sqlite`, made where it is missing. WAL: a reader never waits for a writer, nor a writer for one.

    What a `durable` one commits is on disk then; another's may be lost where the machine loses its power. Raises
    `sqlite3.Error` or `OSError`.
    """
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        path.chmod(0o600)
        if _version(connection) < VERSION:
            _make(connection)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection | None:
    """Open it to read; None where there is none, or nothing in it yet. Raises `sqlite3.Error`."""
    if not path.exists():
        return None
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None)
    try:
        known = _version(connection) > 0
    except sqlite3.Error:
        connection.close()
        raise
    if known:
        return connection
    connection.close()
    return None


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The same, closed at the end."""
    connection = open_for_reading(path)
    try:
        yield connection
    finally:
        if connection is not None:
            connection.close()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _make(connection: sqlite3.Connection) -> None:
    """Give a new file its tables; whoever opens it at the same time waits, and finds them."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before its first table: see `writing.trim`
    use_wal(connection)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
