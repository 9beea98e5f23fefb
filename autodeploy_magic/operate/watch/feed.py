"""The newest roll-ups of one deployment, second by second, as its workers write them down."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autodeploy_magic.metrics.follow import identity
from autodeploy_magic.metrics.histogram import merge
from autodeploy_magic.metrics.points import histogram
from autodeploy_magic.operate.detect.base import Answers

__all__ = ["Feed", "Read"]

_WAIT_S = 0.2
_BACK_S = 30
"""What a worker wrote later than this is of the past: the totals have it, and no detector needs it."""
_NEWS = (
    "SELECT rowid, second, version, requests, refused, failed, latency, waiting, in_flight FROM rollups"
    " WHERE rowid > ? ORDER BY rowid"
)


@dataclass
class Read:
    """What was written down since last time, up to a second."""

    answers: Answers = field(default_factory=Answers)
    by_version: dict[int, Answers] = field(default_factory=dict)
    waiting: int = 0
    in_flight: int = 0

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows; those of one second are of several workers, whose requests were under way at once."""
        at_once: dict[int, list[int]] = {}
        for second, version, requests, refused, failed, latency, waiting, in_flight in rows:
            counts = histogram(latency)
            for answers in (self.answers, self.by_version.setdefault(version, Answers())):
                _add(answers, requests, refused, failed, counts)
            together = at_once.setdefault(second, [0, 0])
            together[0] += waiting
            together[1] += in_flight
        self.waiting = max([self.waiting, *(one[0] for one in at_once.values())])
        self.in_flight = max([self.in_flight, *(one[1] for one in at_once.values())])


class Feed:
    """Reads through a connection that it keeps, and opens again where the file was deleted and another made.

    All of it in one thread. What was written before it was asked first is not news.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._identity: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None
        self._last: int | None = None
        self._early: list[tuple[Any, ...]] = []

    def read(self, second: int) -> Read:
        """What came since this was called last, of all seconds up to `second`; later ones wait for their turn.

        Raises `sqlite3.Error`; then it comes the next time.
        """
        rows = self._early + self._news()
        self._early = [row for row in rows if row[0] > second]
        found = Read()
        found.add(row for row in rows if second - _BACK_S < row[0] <= second)
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _news(self) -> list[tuple[Any, ...]]:
        now = identity(self._file)
        if now != self._identity:
            self.close()
            self._last = 0 if self._identity is not None or self._last is not None else None
            self._identity = now
        if now is None:
            self._last = 0  # a file that is made from now on is new as a whole
            return []
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    f"file:{self._file}?mode=ro", uri=True, timeout=_WAIT_S, isolation_level=None
                )
            if self._last is None:
                self._last = self._connection.execute("SELECT max(rowid) FROM rollups").fetchone()[0] or 0
            rows = self._connection.execute(_NEWS, (self._last,)).fetchall()
        except sqlite3.OperationalError as error:
            self.close()
            if "no such table" in str(error):  # it is being made
                return []
            raise
        if rows:
            self._last = rows[-1][0]
        return [row[1:] for row in rows]


def _add(answers: Answers, requests: int, refused: int, failed: int, counts: dict[int, int]) -> None:
    answers.requests += requests
    answers.refused += refused
    answers.failed += failed
    answers.latency = merge((answers.latency, counts))
