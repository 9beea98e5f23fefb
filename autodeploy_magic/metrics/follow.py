"""The newest roll-ups of a file that is being written, second by second, for points that are shown live."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodeploy_magic.metrics.points import ANSWERED, Answered, histogram

__all__ = ["Follower", "identity"]

_WAIT_S = 0.2
_NEW = "SELECT DISTINCT second FROM rollups WHERE rowid > ? AND rowid <= ?"
_OF_SECOND = f"SELECT latency, {ANSWERED} FROM rollups WHERE second = ?"  # noqa: S608 - names of ours


def identity(file: Path) -> tuple[int, int] | None:
    """What tells a file from another that later has its name; None where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Follower:
    """Reads through a connection that it keeps, and opens again where the file was deleted and another made.

    All of it in one thread. A file that is not there yet has no rows; one that cannot be read raises `sqlite3.Error`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._identity: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None
        self._asked = False
        self._last = 0

    def news(self) -> set[int]:
        """The seconds that rows were added to since this was called last; none the first time.

        A file that was made meanwhile is new as a whole.
        """
        with self._reading() as connection:
            first, self._asked = not self._asked, True
            if connection is None:
                return set()
            newest = connection.execute("SELECT max(rowid) FROM rollups").fetchone()[0] or 0
            # Numbers begin anew in a table that was emptied.
            last, self._last = self._last if self._last <= newest else 0, newest
            return set() if first else {row[0] for row in connection.execute(_NEW, (last, newest))}

    def answered(self, second: int) -> Answered | None:
        """What was answered in a second, as far as it is written down; None where no row is of it."""
        with self._reading() as connection:
            rows = connection.execute(_OF_SECOND, (second,)).fetchall() if connection is not None else []
        if not rows:
            return None
        answered = Answered()
        for latency, *row in rows:
            answered.add(second, row)
            answered.add_latency(histogram(latency))
        return answered

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """The connection to the file that is there now; None where it has no roll-ups yet."""
        found = identity(self._file)
        if found != self._identity:
            self.close()
            self._identity, self._last = found, 0
        if self._connection is None and found is not None:
            self._connection = self._connect()
        try:
            yield self._connection
        except sqlite3.Error:
            self.close()
            raise

    def _connect(self) -> sqlite3.Connection | None:
        connection = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=_WAIT_S, isolation_level=None)
        try:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rollups'").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        if found:
            return connection
        connection.close()
        return None
