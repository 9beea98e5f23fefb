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
from typing import NamedTuple

import msgspec

__all__ = ["GAMMA", "INSERT", "Rollup", "Summary", "bucket", "merge", "open_for_writing", "quantile", "recent"]

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(GAMMA)

SCHEMA = """
CREATE TABLE IF NOT EXISTS rollups (
    second INTEGER NOT NULL,      -- seconds since the epoch, UTC
    worker INTEGER NOT NULL,      -- pid
    version INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    refused INTEGER NOT NULL,     -- answered 4xx
    failed INTEGER NOT NULL,      -- answered 5xx
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    dropped INTEGER NOT NULL,     -- answers that were given and not recorded
    latency TEXT NOT NULL         -- JSON: bucket -> count
);
CREATE INDEX IF NOT EXISTS rollups_by_second ON rollups (second);
"""
INSERT = "INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

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
    latency: str


class Summary(NamedTuple):
    """A period of a deployment. Quantiles are seconds, None where nothing was answered."""

    seconds: float
    requests: int
    refused: int
    failed: int
    dropped: int
    p50_s: float | None
    p99_s: float | None


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
    return connection


def recent(path: Path, seconds: float) -> Summary | None:
    """What a deployment did in the last `seconds`; None where nothing was ever recorded."""
    if not path.exists():
        return None
    since = int(time.time() - seconds)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
        rows = connection.execute(
            "SELECT requests, refused, failed, dropped, latency FROM rollups WHERE second >= ?", (since,)
        ).fetchall()
    latency = merge(_parse(row[4]) for row in rows)
    requests, refused, failed, dropped = (sum(row[i] for row in rows) for i in range(4))
    return Summary(seconds, requests, refused, failed, dropped, quantile(latency, 0.5), quantile(latency, 0.99))


def _parse(latency: str) -> dict[int, int]:
    return msgspec.json.decode(latency, type=dict[int, int])
