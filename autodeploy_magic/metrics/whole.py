"""The time of a series as one point: what all of it comes to, with percentiles from the same histograms."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.live import COLUMNS, Series
from autodeploy_magic.metrics.points import LATE_S
from autodeploy_magic.metrics.window import MINUTE, Window, read

__all__ = ["statuses", "whole"]


def whole(file: Path, series: Series, *, version: int | None = None, recorded: bool = True) -> Series:
    """Return one point over all those of `series`, as far as their seconds are complete; `step_s` tells how long it is.

    `version` and `recorded`: see `window.read`. Raises `StoreFailed`.
    """
    start, step = int(series.start_s), round(series.step_s)
    stop = start + step * max((len(values) for values in series.values), default=0)
    end = max(start + 1, min(stop, int(time.time()) - LATE_S + 1))
    window = Window(start, end - start, 1, end, minutes=step % MINUTE == 0)
    (line,) = read(file, window, version=version, recorded=recorded)
    return Series(
        name=series.name,
        start_s=float(start),
        step_s=float(end - start),
        columns=COLUMNS,
        values=tuple((value,) for value in line),
    )


def statuses(file: Path, start_s: float, end_s: float) -> dict[int, int]:
    """How many requests got each HTTP status in a period, as far back as seconds are kept. Raises `StoreFailed`."""
    if not file.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as connection:
            found = {row[1] for row in connection.execute("PRAGMA table_info(rollups)")}
            if "statuses" not in found:  # no table yet, or one of the first release
                return {}
            rows = connection.execute(
                "SELECT CAST(key AS INTEGER), sum(value) FROM rollups, json_each(statuses)"
                " WHERE second >= ? AND second < ? GROUP BY 1 ORDER BY 1",
                (int(start_s), int(end_s)),
            ).fetchall()
    except sqlite3.Error as error:
        raise StoreFailed(f"{file} cannot be read", why=str(error), fix="try again") from error
    return dict(rows)
