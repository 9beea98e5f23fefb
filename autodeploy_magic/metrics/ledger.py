"""Resource rows on their way into `metrics.sqlite`: written in batches, and kept while they cannot be."""

from __future__ import annotations

import logging
import random
import sqlite3
from collections import deque
from pathlib import Path

from autodeploy_magic.metrics.follow import identity
from autodeploy_magic.metrics.resources import Resources, forget_resources, insert_resources
from autodeploy_magic.metrics.tables import open_for_writing

__all__ = ["Ledger"]

log = logging.getLogger(__name__)

WRITE_EVERY_S = 10.0
REST_EVERY_S = 60.0
"""Of a deployment that is down: its rows say so, and hardly anything else."""
MOST_WAITING = 3600
"""Rows that wait for a disk that is full, then the oldest are lost."""
FORGET_EVERY_S = 3600.0
_WAIT_S = 0.5
"""For another process that writes."""


class Ledger:
    """The rows of one deployment. All of it in one thread; `now` is in monotonic seconds.

    Nothing is raised: a disk that is full or gone is told of once in the log, and once again when it works.
    """

    def __init__(self, name: str, file: Path, now: float) -> None:
        self.name = name
        self._file = file
        self._waiting: deque[Resources] = deque(maxlen=MOST_WAITING)
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._written = now - WRITE_EVERY_S * random.random()  # not all deployments in the same second
        self._forgotten = float("-inf")
        self._troubled = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def add(self, row: Resources) -> None:
        """Take a row. One that says that the deployment is still down lengthens the one before it."""
        if not row.processes and self._waiting:
            last = self._waiting[-1]
            if not last.processes and row.covers(last.second + 1) and last.second // 60 == row.second // 60:
                row = row._replace(span_s=last.span_s + row.span_s)
                self._waiting.pop()
        self._waiting.append(row)

    def write_due(self, now: float) -> None:
        """Write what waits, where it is time to."""
        if now - self._written < WRITE_EVERY_S:
            return
        rests = not any(row.processes for row in self._waiting)
        if rests and now - self._written < REST_EVERY_S:
            return
        self.write(now)
        if rests:
            self.close()

    def write(self, now: float) -> None:
        """Write what waits. Where that cannot be done it waits on."""
        self._written = now
        if not self._waiting:
            return
        try:
            connection = self._open()
            if connection is None:
                return
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                insert_resources(connection, self._waiting)
                if now - self._forgotten >= FORGET_EVERY_S:
                    forget_resources(connection, self._waiting[-1].second)
                    self._forgotten = now
        except (sqlite3.Error, OSError) as error:
            self.close()
            if not self._troubled:
                log.warning("%s: what its processes take is kept in memory, and not written down: %s", self.name, error)
            self._troubled = True
            return
        if self._troubled:
            log.info("%s: what its processes take is written down again", self.name)
        self._troubled = False
        self._waiting.clear()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection | None:
        """The connection to the file that is there now, made where there is none; None where its folder is gone."""
        if self._connection is not None and identity(self._file) == self._identity:
            return self._connection
        self.close()
        if not self._file.parent.is_dir():
            return None
        self._connection = open_for_writing(self._file)
        self._connection.execute(f"PRAGMA busy_timeout = {round(_WAIT_S * 1000)}")
        self._identity = identity(self._file)
        return self._connection
