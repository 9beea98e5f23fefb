"""The tables of `metrics.sqlite`: what workers and the supervisor write down, and how the file is opened for it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

__all__ = ["INSERT", "INSERT_COMPARISON", "ComparisonRow", "Rollup", "forget", "open_for_writing"]

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
    waiting INTEGER NOT NULL,     -- most requests that waited at once
    in_flight INTEGER NOT NULL DEFAULT 0    -- most requests that were under way at once
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
-- The same by status and by bucket of latency, for counters that only grow and histograms that only fill.
CREATE TABLE IF NOT EXISTS answers (
    version INTEGER NOT NULL,
    status INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (version, status)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS latencies (
    version INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (version, bucket)
) WITHOUT ROWID;
-- Minutes, so that a day is drawn without reading its seconds.
CREATE TABLE IF NOT EXISTS minutes (
    minute INTEGER NOT NULL,      -- its first second since the epoch
    version INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    seconds REAL NOT NULL,
    waiting INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    PRIMARY KEY (minute, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS minute_latencies (
    minute INTEGER NOT NULL,
    version INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, version, bucket)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS minutes_of_rollups AFTER INSERT ON rollups BEGIN
    INSERT INTO minutes VALUES (
        NEW.second / 60 * 60, NEW.version, NEW.requests, NEW.rows, NEW.refused, NEW.failed, NEW.bytes_in,
        NEW.bytes_out, NEW.dropped, NEW.seconds, NEW.waiting, NEW.in_flight
    ) ON CONFLICT (minute, version) DO UPDATE SET
        requests = requests + excluded.requests,
        rows = rows + excluded.rows,
        refused = refused + excluded.refused,
        failed = failed + excluded.failed,
        bytes_in = bytes_in + excluded.bytes_in,
        bytes_out = bytes_out + excluded.bytes_out,
        dropped = dropped + excluded.dropped,
        seconds = seconds + excluded.seconds,
        waiting = max(waiting, excluded.waiting),
        in_flight = max(in_flight, excluded.in_flight);
    INSERT INTO minute_latencies
        SELECT NEW.second / 60 * 60, NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.latency) WHERE true
        ON CONFLICT (minute, version, bucket) DO UPDATE SET count = count + excluded.count;
    INSERT INTO latencies SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.latency) WHERE true
        ON CONFLICT (version, bucket) DO UPDATE SET count = count + excluded.count;
    INSERT INTO answers SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.statuses) WHERE true
        ON CONFLICT (version, status) DO UPDATE SET count = count + excluded.count;
END;
-- What the deployment's processes took, written by the supervisor. A second without a row was not watched; one with no
-- processes is a deployment that was down.
CREATE TABLE IF NOT EXISTS resources (
    second INTEGER PRIMARY KEY,
    span_s REAL NOT NULL,         -- how long the row covers
    processes INTEGER NOT NULL,
    cpu_s REAL NOT NULL,          -- CPU time used within it, user and system, all processes
    memory_bytes INTEGER NOT NULL,      -- PSS: shared pages counted once; USS or RSS where the platform tells no PSS
    rss_bytes INTEGER NOT NULL,
    threads INTEGER NOT NULL,
    files INTEGER NOT NULL,       -- open files and sockets
    disk_bytes INTEGER NOT NULL,  -- of the deployment's folder
    disk_free_bytes INTEGER NOT NULL,   -- of the disk that holds it
    gpu_share REAL,               -- of one GPU; NULL where there is none
    gpu_memory_bytes INTEGER
);
CREATE TABLE IF NOT EXISTS resource_minutes (
    minute INTEGER PRIMARY KEY,
    span_s REAL NOT NULL,
    processes INTEGER NOT NULL,   -- most at once
    cpu_s REAL NOT NULL,
    memory_bytes INTEGER NOT NULL,      -- this and the following: the most in the minute
    rss_bytes INTEGER NOT NULL,
    threads INTEGER NOT NULL,
    files INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL,
    disk_free_bytes INTEGER NOT NULL,   -- the least
    gpu_share REAL,
    gpu_memory_bytes INTEGER
);
CREATE TRIGGER IF NOT EXISTS minutes_of_resources AFTER INSERT ON resources BEGIN
    INSERT INTO resource_minutes VALUES (
        NEW.second / 60 * 60, NEW.span_s, NEW.processes, NEW.cpu_s, NEW.memory_bytes, NEW.rss_bytes, NEW.threads,
        NEW.files, NEW.disk_bytes, NEW.disk_free_bytes, NEW.gpu_share, NEW.gpu_memory_bytes
    ) ON CONFLICT (minute) DO UPDATE SET
        span_s = span_s + excluded.span_s,
        processes = max(processes, excluded.processes),
        cpu_s = cpu_s + excluded.cpu_s,
        memory_bytes = max(memory_bytes, excluded.memory_bytes),
        rss_bytes = max(rss_bytes, excluded.rss_bytes),
        threads = max(threads, excluded.threads),
        files = max(files, excluded.files),
        disk_bytes = max(disk_bytes, excluded.disk_bytes),
        disk_free_bytes = min(disk_free_bytes, excluded.disk_free_bytes),
        gpu_share = max(ifnull(gpu_share, excluded.gpu_share), ifnull(excluded.gpu_share, gpu_share)),
        gpu_memory_bytes = max(
            ifnull(gpu_memory_bytes, excluded.gpu_memory_bytes), ifnull(excluded.gpu_memory_bytes, gpu_memory_bytes)
        );
END;
-- What happened to the deployment; see `live.Event`.
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,             -- seconds since the epoch
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    version INTEGER NOT NULL,     -- 0: of the deployment as a whole
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_time ON events (at);
"""
INSERT = (
    "INSERT INTO rollups (second, worker, version, requests, rows, refused, failed, bytes_in, bytes_out, dropped,"
    " seconds, unanswered_s, latency, statuses, executions, queue_s, run_s, batches, waiting, in_flight)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
    "in_flight": "INTEGER NOT NULL DEFAULT 0",
}
"""Columns of `rollups` that the first release did not have."""


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
    in_flight: int = 0


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
