"""The schema of `metrics.sqlite`, and how a file of an earlier release gets it.

Whoever writes inserts into `rollups`, `firsts`, `comparisons`, `resources` and `events`; triggers keep the totals and
the minutes, in the same transaction. So they are right whichever release writes, and nobody adds up a week to read
them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

__all__ = ["VERSION", "upgrade"]

VERSION = 2
"""SQLite's `user_version` of a file that has all this; 0 in a new one, and in those of releases that did not count."""
WAIT_S = 60.0
"""How long to wait for another process that upgrades the same file: a week of seconds takes it some seconds."""

_TABLES = """
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
-- Of answers that were streamed, how long it was to the first item; `rollups` has them with the time to the last.
CREATE TABLE IF NOT EXISTS firsts (
    second INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    version INTEGER NOT NULL,
    first_s REAL NOT NULL,        -- sum over the answers
    latency TEXT NOT NULL         -- JSON: bucket -> count
);
CREATE INDEX IF NOT EXISTS firsts_by_second ON firsts (second);
CREATE TABLE IF NOT EXISTS first_totals (
    version INTEGER PRIMARY KEY,
    first_s REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS first_latencies (
    version INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (version, bucket)
) WITHOUT ROWID;
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
    last INTEGER,                 -- the latest second in which something was answered
    bytes_in INTEGER NOT NULL DEFAULT 0,
    bytes_out INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    latency_s REAL NOT NULL DEFAULT 0   -- sum over the answers that are counted in `latencies`
);
CREATE TABLE IF NOT EXISTS runs (
    version INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (version, rows)
) WITHOUT ROWID;
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
    disk_bytes INTEGER NOT NULL,  -- of the deployment's folder; this and the following: negative where not known yet
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
-- What they took since it is watched, also in minutes that were trimmed; one row.
CREATE TABLE IF NOT EXISTS resource_totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    span_s REAL NOT NULL,
    cpu_s REAL NOT NULL
);
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

_TRIGGERS = """
CREATE TRIGGER totals_of_rollups AFTER INSERT ON rollups BEGIN
    INSERT INTO totals (
        version, requests, rows, refused, failed, seconds, unanswered_s, executions, queue_s, run_s, last, bytes_in,
        bytes_out, dropped, latency_s
    ) VALUES (
        NEW.version, NEW.requests, NEW.rows, NEW.refused, NEW.failed, NEW.seconds, NEW.unanswered_s, NEW.executions,
        NEW.queue_s, NEW.run_s, CASE WHEN NEW.requests > NEW.refused + NEW.failed THEN NEW.second END, NEW.bytes_in,
        NEW.bytes_out, NEW.dropped, NEW.seconds
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
        last = max(ifnull(last, excluded.last), ifnull(excluded.last, last)),
        bytes_in = bytes_in + excluded.bytes_in,
        bytes_out = bytes_out + excluded.bytes_out,
        dropped = dropped + excluded.dropped,
        latency_s = latency_s + excluded.latency_s;
    INSERT INTO runs SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.batches) WHERE true
        ON CONFLICT (version, rows) DO UPDATE SET count = count + excluded.count;
    INSERT INTO answers SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.statuses) WHERE true
        ON CONFLICT (version, status) DO UPDATE SET count = count + excluded.count;
    INSERT INTO latencies SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.latency) WHERE true
        ON CONFLICT (version, bucket) DO UPDATE SET count = count + excluded.count;
END;
-- What is under way in several workers at once is the sum of what each has: a worker's row may be the first of its
-- second, or the last.
CREATE TRIGGER minutes_of_rollups AFTER INSERT ON rollups BEGIN
    INSERT INTO minutes SELECT
        NEW.second / 60 * 60, NEW.version, NEW.requests, NEW.rows, NEW.refused, NEW.failed, NEW.bytes_in,
        NEW.bytes_out, NEW.dropped, NEW.seconds, sum(waiting), sum(in_flight)
    FROM rollups WHERE second = NEW.second AND version = NEW.version
    ON CONFLICT (minute, version) DO UPDATE SET
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
END;
CREATE TRIGGER totals_of_firsts AFTER INSERT ON firsts BEGIN
    INSERT INTO first_totals VALUES (NEW.version, NEW.first_s)
        ON CONFLICT (version) DO UPDATE SET first_s = first_s + excluded.first_s;
    INSERT INTO first_latencies
        SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.latency) WHERE true
        ON CONFLICT (version, bucket) DO UPDATE SET count = count + excluded.count;
END;
CREATE TRIGGER minutes_of_resources AFTER INSERT ON resources BEGIN
    INSERT INTO resource_totals VALUES (1, NEW.span_s, NEW.cpu_s)
        ON CONFLICT (id) DO UPDATE SET span_s = span_s + excluded.span_s, cpu_s = cpu_s + excluded.cpu_s;
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
        disk_free_bytes = CASE
            WHEN min(disk_free_bytes, excluded.disk_free_bytes) < 0 THEN max(disk_free_bytes, excluded.disk_free_bytes)
            ELSE min(disk_free_bytes, excluded.disk_free_bytes)
        END,
        gpu_share = max(ifnull(gpu_share, excluded.gpu_share), ifnull(excluded.gpu_share, gpu_share)),
        gpu_memory_bytes = max(
            ifnull(gpu_memory_bytes, excluded.gpu_memory_bytes), ifnull(excluded.gpu_memory_bytes, gpu_memory_bytes)
        );
END;
"""

_ADDED = {
    "rollups": {
        "seconds": "REAL NOT NULL DEFAULT 0",
        "unanswered_s": "REAL NOT NULL DEFAULT 0",
        "statuses": "TEXT NOT NULL DEFAULT '{}'",
        "executions": "INTEGER NOT NULL DEFAULT 0",
        "queue_s": "REAL NOT NULL DEFAULT 0",
        "run_s": "REAL NOT NULL DEFAULT 0",
        "batches": "TEXT NOT NULL DEFAULT '{}'",
        "waiting": "INTEGER NOT NULL DEFAULT 0",
        "in_flight": "INTEGER NOT NULL DEFAULT 0",
    },
    "totals": {
        "bytes_in": "INTEGER NOT NULL DEFAULT 0",
        "bytes_out": "INTEGER NOT NULL DEFAULT 0",
        "dropped": "INTEGER NOT NULL DEFAULT 0",
        "latency_s": "REAL NOT NULL DEFAULT 0",
    },
}
"""Columns that earlier releases did not have."""

_FILLED = """
DELETE FROM answers;
DELETE FROM latencies;
DELETE FROM minutes;
DELETE FROM minute_latencies;
DELETE FROM resource_totals;
INSERT INTO answers
    SELECT version, CAST(key AS INTEGER), sum(value) FROM rollups, json_each(statuses) GROUP BY 1, 2;
INSERT INTO minutes
    SELECT second / 60 * 60, version, sum(requests), sum(rows), sum(refused), sum(failed), sum(bytes_in),
        sum(bytes_out), sum(dropped), sum(seconds), max(waiting), max(in_flight)
    FROM (
        SELECT second, version, sum(requests) AS requests, sum(rows) AS rows, sum(refused) AS refused,
            sum(failed) AS failed, sum(bytes_in) AS bytes_in, sum(bytes_out) AS bytes_out, sum(dropped) AS dropped,
            sum(seconds) AS seconds, sum(waiting) AS waiting, sum(in_flight) AS in_flight
        FROM rollups GROUP BY second, version
    ) GROUP BY 1, 2;
INSERT INTO minute_latencies
    SELECT second / 60 * 60, version, CAST(key AS INTEGER), sum(value) FROM rollups, json_each(latency)
    GROUP BY 1, 2, 3;
INSERT INTO latencies SELECT version, bucket, sum(count) FROM minute_latencies GROUP BY 1, 2;
INSERT INTO totals (
        version, requests, rows, refused, failed, seconds, unanswered_s, executions, queue_s, run_s, last, bytes_in,
        bytes_out, dropped, latency_s
    )
    SELECT version, sum(requests), sum(rows), sum(refused), sum(failed), sum(seconds), sum(unanswered_s),
        sum(executions), sum(queue_s), sum(run_s), max(CASE WHEN requests > refused + failed THEN second END),
        sum(bytes_in), sum(bytes_out), sum(dropped), sum(seconds)
    FROM rollups WHERE true GROUP BY version
    ON CONFLICT (version) DO UPDATE SET
        bytes_in = excluded.bytes_in,
        bytes_out = excluded.bytes_out,
        dropped = excluded.dropped,
        latency_s = excluded.latency_s;
INSERT INTO resource_totals SELECT 1, sum(span_s), sum(cpu_s) FROM resources GROUP BY 1;
"""
"""What is derived, from the roll-ups that are kept; totals that are there already reach further back, and stay.
Roll-ups of the first release say nothing of statuses, seconds and runs."""


def upgrade(connection: sqlite3.Connection) -> None:
    """Give the file its schema, and fill what is new in it from what is kept; at once where another has done so.

    One transaction: whoever opens the file at the same time waits, and finds it done. Needs `isolation_level=None`.
    """
    if _version(connection) >= VERSION:
        return
    before = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute(f"PRAGMA busy_timeout = {round(WAIT_S * 1000)}")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if _version(connection) < VERSION:
            _upgrade(connection)
    connection.execute(f"PRAGMA busy_timeout = {before}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _upgrade(connection: sqlite3.Connection) -> None:
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")  # one of an earlier release knows less
    _run(connection, _TABLES)
    for table, columns in _ADDED.items():
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for column, declared in columns.items():
            if column not in there:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declared}")
    if _version(connection) < 1:  # what is counted since then reaches further back than what is kept
        _run(connection, _FILLED)
    _run(connection, _TRIGGERS)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Execute statement by statement: `executescript` would end the transaction."""
    for statement in _statements(script):
        connection.execute(statement)


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
