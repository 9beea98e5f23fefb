"""What a deployment answered before this process watched it, from the minutes in `metrics.sqlite`: read once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

__all__ = ["Minute", "minutes"]

_WAIT_S = 1.0


class Minute(NamedTuple):
    """A minute of one version; `minute` is its first second. `over` counts answers beyond each of the asked buckets."""

    minute: int
    version: int
    requests: int
    refused: int
    failed: int
    over: tuple[int, ...]


def minutes(file: Path, since: int, until: int, beyond: Sequence[int]) -> list[Minute]:
    """The whole minutes from `since` to before `until` (seconds since the epoch), in their order.

    `beyond` are buckets of `metrics.histogram`. Nothing where nothing was recorded. Three full days take half
    a second. Raises `sqlite3.Error`.
    """
    if not file.exists():
        return []
    span = (since, until - until % 60)
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=_WAIT_S)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'minutes'").fetchone() is None:
            return []
        connection.execute("BEGIN")  # both tables as they were at one moment
        rows = connection.execute(
            "SELECT minute, version, requests, refused, failed FROM minutes WHERE minute >= ? AND minute < ?"
            " ORDER BY minute, version",
            span,
        ).fetchall()
        over: dict[tuple[int, int], tuple[int, ...]] = {}
        if beyond:
            sums = ", ".join("sum(CASE WHEN bucket > ? THEN count ELSE 0 END)" for _ in beyond)
            query = (
                f"SELECT minute, version, {sums} FROM minute_latencies WHERE minute >= ? AND minute < ?"  # noqa: S608
                " GROUP BY minute, version"
            )
            found = connection.execute(query, (*beyond, *span)).fetchall()
            over = {(minute, version): tuple(counts) for minute, version, *counts in found}
    none = (0,) * len(beyond)
    return [Minute._make((*row, over.get((row[0], row[1]), none))) for row in rows]
