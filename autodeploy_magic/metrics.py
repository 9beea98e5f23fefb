"""What a deployment measured of itself: one-second roll-ups in `metrics.sqlite`, and histograms that can be merged.

Workers write (`serve.record`), everything else reads. A latency histogram is sparse: bucket i holds the answers that
took between GAMMA^(i-1) and GAMMA^i seconds, so that a quantile read from it is within 1 % of the true one, and two
histograms are merged by adding their counts (DDSketch: Masson, Rim and Lee, VLDB 2019). Percentiles are never averaged.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

__all__ = [
    "GAMMA",
    "INSERT",
    "INSERT_COMPARISON",
    "Comparison",
    "ComparisonRow",
    "Rollup",
    "Summary",
    "Totals",
    "bucket",
    "by_version",
    "comparison",
    "forget",
    "merge",
    "open_for_writing",
    "quantile",
    "recent",
    "totals",
]

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(GAMMA)

SCHEMA = """
CREATE TABLE IF NOT EXISTS rollups (
    second INTEGER NOT NULL,      -- seconds since the epoch, UTC
    worker INTEGER NOT NULL,      -- pid
    version INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    rows INTEGER NOT NULL,        -- answered, so none of what was refused or failed
    refused INTEGER NOT NULL,     -- answered 4xx
    failed INTEGER NOT NULL,      -- answered 5xx
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    dropped INTEGER NOT NULL,     -- answers that were given and not recorded
    seconds REAL NOT NULL,        -- sum over the answers
    unanswered_s REAL NOT NULL,   -- of which those that were refused or failed
    latency TEXT NOT NULL,        -- JSON: bucket -> count
    statuses TEXT NOT NULL,       -- JSON: HTTP status -> count
    executions INTEGER NOT NULL,  -- runs of the model; fewer than requests where they are batched
    queue_s REAL NOT NULL,        -- sum of the time that rows waited for the model
    run_s REAL NOT NULL,          -- sum of the time that the model ran
    batches TEXT NOT NULL,        -- JSON: rows of a run -> count
    waiting INTEGER NOT NULL      -- most requests that waited at once
);
CREATE INDEX IF NOT EXISTS rollups_by_second ON rollups (second);
CREATE TABLE IF NOT EXISTS comparisons (
    second INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    champion INTEGER NOT NULL,    -- the version that answered
    challenger INTEGER NOT NULL,  -- the shadow that was given a copy
    requests INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    differing INTEGER NOT NULL,   -- rows that the two answered differently
    failed INTEGER NOT NULL,      -- copies that the challenger could not answer
    dropped INTEGER NOT NULL,     -- copies that were never run, because the challenger could not keep up
    difference REAL NOT NULL,     -- sum over rows of the absolute difference, for answers that are numbers
    champion_latency TEXT NOT NULL,
    challenger_latency TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS comparisons_by_second ON comparisons (second);
-- What all roll-ups came to, also those that were trimmed: counters that only grow, read without adding up a week.
CREATE TABLE IF NOT EXISTS totals (
    version INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    seconds REAL NOT NULL,
    unanswered_s REAL NOT NULL,
    executions INTEGER NOT NULL,
    queue_s REAL NOT NULL,
    run_s REAL NOT NULL,
    last INTEGER                  -- the latest second in which something was answered
);
CREATE TABLE IF NOT EXISTS runs (
    version INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (version, rows)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS totals_of_rollups AFTER INSERT ON rollups BEGIN
    INSERT INTO totals VALUES (
        NEW.version, NEW.requests, NEW.rows, NEW.refused, NEW.failed, NEW.seconds, NEW.unanswered_s, NEW.executions,
        NEW.queue_s, NEW.run_s, CASE WHEN NEW.requests > NEW.refused + NEW.failed THEN NEW.second END
    ) ON CONFLICT (version) DO UPDATE SET
        requests = requests + excluded.requests,
        rows = rows + excluded.rows,
        refused = refused + excluded.refused,
        failed = failed + excluded.failed,
        seconds = seconds + excluded.seconds,
        unanswered_s = unanswered_s + excluded.unanswered_s,
        executions = executions + excluded.executions,
        queue_s = queue_s + excluded.queue_s,
        run_s = run_s + excluded.run_s,
        last = max(ifnull(last, excluded.last), ifnull(excluded.last, last));
    INSERT INTO runs SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.batches) WHERE true
        ON CONFLICT (version, rows) DO UPDATE SET count = count + excluded.count;
END;
"""
INSERT = (
    "INSERT INTO rollups (second, worker, version, requests, rows, refused, failed, bytes_in, bytes_out, dropped,"
    " seconds, unanswered_s, latency, statuses, executions, queue_s, run_s, batches, waiting)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_COMPARISON = "INSERT INTO comparisons VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADDED = {
    "seconds": "REAL NOT NULL DEFAULT 0",
    "unanswered_s": "REAL NOT NULL DEFAULT 0",
    "statuses": "TEXT NOT NULL DEFAULT '{}'",
    "executions": "INTEGER NOT NULL DEFAULT 0",
    "queue_s": "REAL NOT NULL DEFAULT 0",
    "run_s": "REAL NOT NULL DEFAULT 0",
    "batches": "TEXT NOT NULL DEFAULT '{}'",
    "waiting": "INTEGER NOT NULL DEFAULT 0",
}
"""Columns of `rollups` that the first release did not have."""

Histogram = Mapping[int, int]


class Rollup(NamedTuple):
    """At most one second of one worker and version; the columns of the table, in their order."""

    second: int
    worker: int
    version: int
    requests: int
    rows: int
    refused: int
    failed: int
    bytes_in: int
    bytes_out: int
    dropped: int
    seconds: float
    unanswered_s: float
    latency: str
    statuses: str
    executions: int
    queue_s: float
    run_s: float
    batches: str
    waiting: int


class ComparisonRow(NamedTuple):
    """At most one second of a shadow beside its champion; the columns of the table, in their order."""

    second: int
    worker: int
    champion: int
    challenger: int
    requests: int
    rows: int
    differing: int
    failed: int
    dropped: int
    difference: float
    champion_latency: str
    challenger_latency: str


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


def bucket(seconds: float) -> int:
    """The bucket of a latency; anything below a microsecond counts as one."""
    return math.ceil(math.log(max(seconds, 1e-6)) / _LOG_GAMMA)


def merge(histograms: Iterable[Histogram]) -> Counter[int]:
    """Add histograms up."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return total


def quantile(histogram: Histogram, q: float) -> float | None:
    """The q-quantile (0 to 1) in seconds, within `RELATIVE_ERROR`; None for an empty histogram."""
    count = sum(histogram.values())
    if count == 0:
        return None
    rank = q * (count - 1)
    seen = 0
    for index in sorted(histogram):
        seen += histogram[index]
        if seen > rank:
            return float(2 * GAMMA**index / (GAMMA + 1))
    raise AssertionError("a rank lies within its histogram")


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open `metrics.sqlite`, made where it is missing. WAL: a reader never waits for a writer, nor a writer for one."""
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    path.chmod(0o600)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.executescript(SCHEMA)
    there = {row[1] for row in connection.execute("PRAGMA table_info(rollups)")}
    for column in _ADDED.keys() - there:
        connection.execute(f"ALTER TABLE rollups ADD COLUMN {column} {_ADDED[column]}")
    return connection


def forget(connection: sqlite3.Connection, before: int) -> None:
    """Delete what was recorded before a second; the totals stay."""
    connection.execute("DELETE FROM rollups WHERE second < ?", (before,))
    connection.execute("DELETE FROM comparisons WHERE second < ?", (before,))


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
    return {version: _summary(seconds, rows) for version, rows in sorted(found.items())}


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
