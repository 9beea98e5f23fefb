"""How long it was to the first items of answers that were streamed, step by step of a window."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.metrics.histogram import merge, quantiles
from autodeploy_magic.metrics.points import histogram

__all__ = ["first_items"]


def first_items(
    file: Path, start: float, step_s: float, steps: int, *, version: int | None = None
) -> list[tuple[float | None, float | None]]:
    """The median and the 99th percentile in seconds of each step from `start` on (seconds since the epoch).

    None where nothing was streamed; the list is empty where nothing was in any step. Raises `StoreFailed`.
    """
    if not file.exists():
        return []
    where = "" if version is None else f" AND version = {int(version)}"
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'firsts'").fetchone() is None:
                return []
            rows = connection.execute(
                f"SELECT second, latency FROM firsts WHERE second >= ? AND second < ?{where}",  # noqa: S608 - a number
                (start, start + steps * step_s),
            ).fetchall()
    except sqlite3.Error as error:
        raise StoreFailed(f"{file} cannot be read", why=str(error), fix="try again") from error
    if not rows:
        return []
    found: list[list[dict[int, int]]] = [[] for _ in range(steps)]
    for second, latency in rows:
        found[int((second - start) // step_s)].append(histogram(latency))
    return [(p50_s, p99_s) for p50_s, p99_s in (quantiles(merge(each), (0.5, 0.99)) for each in found)]
