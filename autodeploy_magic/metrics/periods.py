"""What a deployment did in a period: requests, errors, quantiles; by version, and a shadow beside its champion."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autodeploy_magic.metrics.histogram import merge, quantile

__all__ = ["Comparison", "Summary", "Totals", "by_version", "comparison", "recent", "totals"]


class Summary(NamedTuple):
    """A period of a deployment. Quantiles are seconds, None where nothing was answered."""

    seconds: float
    requests: int
    refused: int
    failed: int
    dropped: int
    p50_s: float | None
    p99_s: float | None


class Comparison(NamedTuple):
    """A shadow beside its champion, over a period. Quantiles are seconds, None where nothing was answered.

    `requests` were copied and run, of which the shadow could not answer `failed`; `dropped` copies were not run, since
    it could not keep up. `difference` is the mean over the rows of the absolute difference; None where none was.
    """

    requests: int
    rows: int
    differing: int
    failed: int
    dropped: int
    difference: float | None
    champion_p50_s: float | None
    champion_p99_s: float | None
    challenger_p50_s: float | None
    challenger_p99_s: float | None


class Totals(NamedTuple):
    """What a version answered since it was first served, over all workers. Times are sums in seconds.

    `rows` were answered to the `requests` that were neither `refused` nor `failed`; `unanswered_s` of the `seconds`
    went into those that were. `last` is the latest second with an answer. `runs`: rows of a run of it → how many.
    """

    requests: int
    rows: int
    refused: int
    failed: int
    seconds: float
    unanswered_s: float
    executions: int
    queue_s: float
    run_s: float
    last: int | None
    runs: dict[int, int]


def recent(path: Path, seconds: float) -> Summary | None:
    """What a deployment did in the last `seconds`; None where nothing was ever recorded."""
    if not path.exists():
        return None
    return _summary(
        seconds,
        _select(
            path,
            "rollups",
            "SELECT requests, refused, failed, dropped, latency FROM rollups WHERE second >= ?",
            (int(time.time() - seconds),),
        ),
    )


def by_version(path: Path, since: float) -> dict[int, Summary]:
    """What each version answered since a time (seconds since the epoch); those that answered nothing are left out."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for version, *row in _select(
        path,
        "rollups",
        "SELECT version, requests, refused, failed, dropped, latency FROM rollups WHERE second >= ?",
        (int(since),),
    ):
        found.setdefault(version, []).append(tuple(row))
    seconds = time.time() - since
    summaries = {version: _summary(seconds, rows) for version, rows in sorted(found.items())}
    return {version: summary for version, summary in summaries.items() if summary.requests or summary.dropped}


def comparison(path: Path, champion: int, challenger: int, since: float) -> Comparison | None:
    """How a shadow compared with its champion since a time (seconds since the epoch); None where it never was."""
    rows = _select(
        path,
        "comparisons",
        "SELECT requests, rows, differing, failed, dropped, difference, champion_latency, challenger_latency "
        "FROM comparisons WHERE second >= ? AND champion = ? AND challenger = ?",
        (int(since), champion, challenger),
    )
    if not rows:
        return None
    requests, compared, differing, failed, dropped = (sum(row[i] for row in rows) for i in range(5))
    champions, challengers = (merge(_parse(row[i]) for row in rows) for i in (6, 7))
    return Comparison(
        *(requests, compared, differing, failed, dropped),
        sum(row[5] for row in rows) / compared if compared else None,
        *(quantile(latency, q) for latency in (champions, challengers) for q in (0.5, 0.99)),
    )


def totals(path: Path) -> dict[int, Totals]:
    """Each version's totals by its number; those of which nothing was ever recorded are not among them."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
        connection.execute("BEGIN")  # both tables as they were at one moment
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'totals'").fetchone() is None:
            return {}
        columns = ", ".join(name for name in Totals._fields if name != "runs")
        found = connection.execute(f"SELECT version, {columns} FROM totals").fetchall()  # noqa: S608 - names of ours
        runs: dict[int, dict[int, int]] = {}
        for version, rows, count in connection.execute("SELECT version, rows, count FROM runs ORDER BY version, rows"):
            runs.setdefault(version, {})[rows] = count
    return {version: Totals._make([*values, runs.get(version, {})]) for version, *values in found}


def _select(path: Path, table: str, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The rows of a query; none where its table was never made."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is None:
            return []
        return connection.execute(query, values).fetchall()


def _summary(seconds: float, rows: list[tuple[Any, ...]]) -> Summary:
    """Of rows of requests, refused, failed, dropped, latency."""
    latency = merge(_parse(row[4]) for row in rows)
    requests, refused, failed, dropped = (sum(row[i] for row in rows) for i in range(4))
    return Summary(seconds, requests, refused, failed, dropped, quantile(latency, 0.5), quantile(latency, 0.99))


def _parse(latency: str) -> dict[int, int]:
    return msgspec.json.decode(latency, type=dict[int, int])
