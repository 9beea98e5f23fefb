"""Reading a window of `metrics.sqlite`: its tables, point by point."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.live import COLUMNS
from autodeploy_magic.metrics.points import ANSWERED, Answered, Line, Used, histogram, line
from autodeploy_magic.metrics.resources import Resources

__all__ = ["MINUTE", "Window", "read"]

MINUTE = 60
_RESOURCES = COLUMNS.index("cpu_cores")
"""From this column on it is what the processes took, of all versions together."""
_T = TypeVar("_T")


class Window(NamedTuple):
    """`points` of `step` seconds from `start` on. Seconds from `end` on are not shown. `minutes`: read from these."""

    start: int
    step: int
    points: int
    end: int
    minutes: bool

    def point_of(self, second: int) -> int:
        return (second - self.start) // self.step

    def elapsed_s(self, index: int) -> int:
        start = self.start + index * self.step
        return min(start + self.step, self.end) - start


def read(file: Path, window: Window, *, version: int | None = None, recorded: bool = True) -> list[Line]:
    """The points of a window, each in the order of `live.COLUMNS`; with nothing in them where there is no file.

    With `version` it is what that version answered, without what the processes took. `recorded`: whether workers
    record, see `points.line`. Raises `StoreFailed`.
    """
    filled = _Filled(window)
    if file.exists():
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as connection:
                connection.execute("BEGIN")  # all tables as they were at one moment
                _fill(filled, _Source(connection, version))
        except sqlite3.Error as error:
            raise StoreFailed(f"{file} cannot be read", why=str(error), fix="try again") from error
    lines = [
        line(filled.answered.get(index), filled.used.get(index), window.elapsed_s(index), recorded=recorded)
        for index in range(window.points)
    ]
    if version is not None:
        lines = [(*one[:_RESOURCES], *(None,) * (len(COLUMNS) - _RESOURCES)) for one in lines]
    return lines


class _Filled:
    """What was found, by the index of its point."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.answered: dict[int, Answered] = {}
        self.used: dict[int, Used] = {}

    def answer(self, at: int) -> Answered:
        return _get(self.answered, self.window.point_of(at), Answered)

    def use_minute(self, minute: int, row: Resources) -> None:
        _get(self.used, self.window.point_of(minute), Used).add(row)

    def use(self, row: Resources, start: int) -> None:
        """Spread a row over the seconds that it covers, from `start` on and as far as they are in the window."""
        seconds = max(1, round(row.span_s))
        first = max(row.second - seconds + 1, start)
        last = min(row.second, self.window.end - 1)
        while first <= last:
            index = self.window.point_of(first)
            after = min(last + 1, self.window.start + (index + 1) * self.window.step)
            _get(self.used, index, Used).add(row, (after - first) / seconds)
            first = after


class _Source:
    """The tables of a file; those that it lacks have no rows."""

    def __init__(self, connection: sqlite3.Connection, version: int | None) -> None:
        self._connection = connection
        self._of_version = "" if version is None else f" AND version = {int(version)}"
        self._tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def seconds(self, start: int, end: int) -> Iterator[tuple[int, Iterable[int], str]]:
        """Of each second, worker and version: when, its `ANSWERED`, its histogram as JSON."""
        where = f"second >= ? AND second < ?{self._of_version} ORDER BY second"
        for second, latency, *row in self._select(
            f"second, latency, {self._answered('rollups')}", "rollups", where, start, end
        ):
            yield second, row, latency

    def minutes(self, start: int, end: int) -> Iterator[tuple[int, Iterable[int]]]:
        """Of each minute and version: when, its `ANSWERED`."""
        where = f"minute >= ? AND minute < ?{self._of_version} ORDER BY minute"
        for minute, *row in self._select(f"minute, {ANSWERED}", "minutes", where, start, end):
            yield minute, row

    def minute_latencies(self, start: int, end: int) -> Iterator[tuple[int, str]]:
        """Of each minute and version: when, its histogram as JSON.

        SQLite writes the JSON: half a million buckets of a day are read in half of the time that their rows would take.
        """
        where = f"minute >= ? AND minute < ?{self._of_version} GROUP BY minute, version"
        return self._select("minute, json_group_object(bucket, count)", "minute_latencies", where, start, end)

    def resources(self, start: int, end: int) -> Iterator[Resources]:
        columns = ", ".join(Resources._fields)
        # A row covers what is before it, up to a minute of a deployment that was down.
        rows = self._select(columns, "resources", "second >= ? AND second < ?", start, end + MINUTE)
        return map(Resources._make, rows)

    def resource_minutes(self, start: int, end: int) -> Iterator[Resources]:
        columns = ", ".join(("minute", *Resources._fields[1:]))
        rows = self._select(columns, "resource_minutes", "minute >= ? AND minute < ?", start, end)
        return map(Resources._make, rows)

    def _select(self, columns: str, table: str, where: str, start: int, end: int) -> Iterator[Any]:
        if table not in self._tables:
            return iter(())
        return self._connection.execute(f"SELECT {columns} FROM {table} WHERE {where}", (start, end))  # noqa: S608 - names of ours

    def _answered(self, table: str) -> str:
        """`ANSWERED` of a table; the first release did not know all of them."""
        there = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
        return ", ".join(name if name in there else f"0 AS {name}" for name in ANSWERED.split(", "))


def _fill(filled: _Filled, source: _Source) -> None:
    """Read minutes as far as they are wanted and over, and seconds from there on."""
    start, end = filled.window.start, filled.window.end
    if filled.window.minutes:
        whole = end // MINUTE * MINUTE
        for minute, row in source.minutes(start, whole):
            filled.answer(minute).add(minute, row)
        for minute, latency in source.minute_latencies(start, whole):
            filled.answer(minute).add_latency(histogram(latency))
        for used in source.resource_minutes(start, whole):
            filled.use_minute(used.second, used)
        start = max(start, whole)
    for second, row, latency in source.seconds(start, end):
        answered = filled.answer(second)
        answered.add(second, row)
        answered.add_latency(histogram(latency))
    for used in source.resources(start, end):
        filled.use(used, start)


def _get(found: dict[int, _T], index: int, make: Callable[[], _T]) -> _T:
    one = found.get(index)
    if one is None:
        one = found[index] = make()
    return one
