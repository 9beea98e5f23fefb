"""The file that is written: what is derived from the roll-ups is what they add up to, whoever wrote them, and when."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodeploy_magic import metrics
from autodeploy_magic.metrics import INSERT, Rollup, forget, open_for_writing
from autodeploy_magic.metrics.counters import counters
from autodeploy_magic.metrics.resources import Resources, insert_resources
from autodeploy_magic.metrics.tables import KEEP_MINUTES_S, KEEP_S

START = 1_700_000_040  # the first second of a minute
SUMS = ("requests", "rows", "refused", "failed", "bytes_in", "bytes_out", "dropped")
TIMES = ("seconds", "unanswered_s", "queue_s", "run_s")

counts = st.dictionaries(st.integers(-600, 200), st.integers(1, 9), max_size=4)
small = st.integers(0, 99)
moments = st.floats(0, 9).map(lambda value: round(value, 3))


@st.composite
def rollups(draw: st.DrawFn) -> Rollup:
    """A second of a worker, in which all may have happened."""
    statuses = draw(st.dictionaries(st.sampled_from([200, 404, 422, 429, 499, 500, 504]), st.integers(1, 9)))
    batches = draw(st.dictionaries(st.integers(1, 256), st.integers(1, 9), max_size=3))
    return Rollup(
        second=START + draw(st.integers(0, 130)),
        worker=draw(st.integers(1, 3)),
        version=draw(st.integers(1, 2)),
        requests=sum(statuses.values()),
        rows=draw(small),
        refused=sum(count for status, count in statuses.items() if 400 <= status < 500),
        failed=sum(count for status, count in statuses.items() if status >= 500),
        bytes_in=draw(small),
        bytes_out=draw(small),
        dropped=draw(small),
        seconds=draw(moments),
        unanswered_s=draw(moments),
        latency=json.dumps(draw(counts)),
        statuses=json.dumps(statuses),
        executions=sum(batches.values()),
        queue_s=draw(moments),
        run_s=draw(moments),
        batches=json.dumps(batches),
        waiting=draw(small),
        in_flight=draw(small),
    )


def write(path: Path, rows: Sequence[Rollup]) -> None:
    with closing(open_for_writing(path)) as connection:
        connection.executemany(INSERT, rows)


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def check(path: Path, rows: Sequence[Rollup]) -> None:
    """All that is derived is what the rows add up to."""
    for version in (1, 2):
        mine = [row for row in rows if row.version == version]
        total = dict.fromkeys(SUMS, 0) | dict.fromkeys(TIMES, 0.0)
        names = [*SUMS, *TIMES, "executions", "latency_s", "last"]
        found = read(path, f"SELECT {', '.join(names)} FROM totals WHERE version = {version}")
        assert len(found) == bool(mine)
        if not mine:
            continue
        total = {name: sum(getattr(row, name) for row in mine) for name in (*SUMS, *TIMES, "executions")}
        answered = [row.second for row in mine if row.requests > row.refused + row.failed]
        total |= {"latency_s": total["seconds"], "last": max(answered, default=None)}
        assert dict(zip(names, found[0], strict=True)) == pytest.approx(total)
        for table, key, column in (
            ("answers", "status", "statuses"),
            ("latencies", "bucket", "latency"),
            ("runs", "rows", "batches"),
        ):
            query = f"SELECT {key}, count FROM {table} WHERE version = {version}"
            assert dict(read(path, query)) == merged(mine, column)
        minutes = {row.second // 60 * 60 for row in mine}
        assert {minute for (minute,) in read(path, f"SELECT minute FROM minutes WHERE version = {version}")} == minutes
        for minute in minutes:
            check_minute(path, minute, [row for row in mine if row.second // 60 * 60 == minute])


def check_minute(path: Path, minute: int, rows: Sequence[Rollup]) -> None:
    where = f"WHERE minute = {minute} AND version = {rows[0].version}"
    names = (*SUMS, "seconds", "waiting", "in_flight")
    (found,) = read(path, f"SELECT {', '.join(names)} FROM minutes {where}")
    expected = {name: sum(getattr(row, name) for row in rows) for name in (*SUMS, "seconds")}
    for name in ("waiting", "in_flight"):  # the most of a second, over all workers
        at: Counter[int] = Counter()
        for row in rows:
            at[row.second] += getattr(row, name)
        expected[name] = max(at.values())
    assert dict(zip(names, found, strict=True)) == pytest.approx(expected)
    query = f"SELECT bucket, count FROM minute_latencies {where}"
    assert dict(read(path, query)) == merged(rows, "latency")


def merged(rows: Sequence[Rollup], column: str) -> dict[int, int]:
    total: Counter[int] = Counter()
    for row in rows:
        total.update({int(key): count for key, count in json.loads(getattr(row, column)).items()})
    return dict(total)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(rollups(), max_size=12))
def test_what_is_derived_is_what_the_rows_add_up_to(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Rollup]
) -> None:
    path = tmp_path_factory.mktemp("derived") / "metrics.sqlite"
    write(path, rows)
    check(path, rows)
    found = counters(path)
    assert found is not None
    assert {version: counted.rows for version, counted in found.versions.items()} == {
        version: sum(row.rows for row in rows if row.version == version) for version in {row.version for row in rows}
    }


SECOND_RELEASE = """
CREATE TABLE rollups (
    second INTEGER NOT NULL, worker INTEGER NOT NULL, version INTEGER NOT NULL, requests INTEGER NOT NULL,
    rows INTEGER NOT NULL, refused INTEGER NOT NULL, failed INTEGER NOT NULL, bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL, dropped INTEGER NOT NULL, seconds REAL NOT NULL, unanswered_s REAL NOT NULL,
    latency TEXT NOT NULL, statuses TEXT NOT NULL, executions INTEGER NOT NULL, queue_s REAL NOT NULL,
    run_s REAL NOT NULL, batches TEXT NOT NULL, waiting INTEGER NOT NULL
);
CREATE TABLE totals (
    version INTEGER PRIMARY KEY, requests INTEGER NOT NULL, rows INTEGER NOT NULL, refused INTEGER NOT NULL,
    failed INTEGER NOT NULL, seconds REAL NOT NULL, unanswered_s REAL NOT NULL, executions INTEGER NOT NULL,
    queue_s REAL NOT NULL, run_s REAL NOT NULL, last INTEGER
);
CREATE TABLE runs (
    version INTEGER NOT NULL, rows INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (version, rows)
) WITHOUT ROWID;
CREATE TRIGGER totals_of_rollups AFTER INSERT ON rollups BEGIN
    INSERT INTO totals VALUES (
        NEW.version, NEW.requests, NEW.rows, NEW.refused, NEW.failed, NEW.seconds, NEW.unanswered_s, NEW.executions,
        NEW.queue_s, NEW.run_s, CASE WHEN NEW.requests > NEW.refused + NEW.failed THEN NEW.second END
    ) ON CONFLICT (version) DO UPDATE SET
        requests = requests + excluded.requests, rows = rows + excluded.rows, refused = refused + excluded.refused,
        failed = failed + excluded.failed, seconds = seconds + excluded.seconds,
        unanswered_s = unanswered_s + excluded.unanswered_s, executions = executions + excluded.executions,
        queue_s = queue_s + excluded.queue_s, run_s = run_s + excluded.run_s,
        last = max(ifnull(last, excluded.last), ifnull(excluded.last, last));
    INSERT INTO runs SELECT NEW.version, CAST(key AS INTEGER), value FROM json_each(NEW.batches) WHERE true
        ON CONFLICT (version, rows) DO UPDATE SET count = count + excluded.count;
END;
"""
SECOND_INSERT = INSERT.replace(", in_flight", "").replace("?, ?)", "?)")


def second_release(path: Path, rows: Sequence[Rollup]) -> sqlite3.Connection:
    """A file as the release before wrote it, still open there."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(SECOND_RELEASE)
    connection.executemany(SECOND_INSERT, [row[:-1] for row in rows])
    return connection


@settings(max_examples=30, deadline=None)
@given(
    before=st.lists(rollups().map(lambda row: row._replace(in_flight=0)), max_size=8),
    meanwhile=st.lists(rollups().map(lambda row: row._replace(in_flight=0)), max_size=3),
    after=st.lists(rollups(), max_size=3),
)
def test_a_file_of_the_release_before_is_filled_once(
    tmp_path_factory: pytest.TempPathFactory, before: list[Rollup], meanwhile: list[Rollup], after: list[Rollup]
) -> None:
    """A worker of that release may go on writing, as one that an upgraded supervisor adopts does."""
    path = tmp_path_factory.mktemp("before") / "metrics.sqlite"
    with closing(second_release(path, before)) as older:
        write(path, [])
        check(path, before)
        older.executemany(SECOND_INSERT, [row[:-1] for row in meanwhile])
        write(path, after)
    check(path, [*before, *meanwhile, *after])


def test_totals_that_reach_further_back_stay(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    with closing(second_release(path, [row(START, requests=5), row(START + 100, requests=2)])) as older:
        older.execute("DELETE FROM rollups WHERE second = ?", (START,))
    write(path, [row(START + 101, requests=1)])
    assert metrics.totals(path)[1].requests == 8
    found = counters(path)
    assert found is not None
    counted = found.versions[1]
    # What was not kept by status and bucket is in none of these, so that they fit each other.
    assert (counted.answers, sum(counted.latencies.values()), counted.latency_s) == ({200: 3}, 3, pytest.approx(0.03))


def test_a_file_of_the_first_release_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(
            "CREATE TABLE rollups (second INTEGER, worker INTEGER, version INTEGER, requests INTEGER, rows INTEGER,"
            " refused INTEGER, failed INTEGER, bytes_in INTEGER, bytes_out INTEGER, dropped INTEGER, latency TEXT)"
        )
        old.execute("""INSERT INTO rollups VALUES (?, 1, 1, 5, 5, 0, 0, 1, 1, 0, '{"-300": 5}')""", (START,))
    write(path, [row(START + 1, requests=2)])
    assert read(path, "SELECT minute, requests FROM minutes") == [(START, 7)]
    assert dict(read(path, "SELECT bucket, count FROM minute_latencies")) == {-300: 7}
    assert read(path, "SELECT status, count FROM answers") == [(200, 2)]
    assert metrics.totals(path)[1].requests == 7


@pytest.mark.parametrize("old", [True, False])
def test_workers_that_open_a_file_at_once_make_it_once(tmp_path: Path, old: bool) -> None:
    rows = [row(START + i, requests=3) for i in range(500)]
    path = tmp_path / "metrics.sqlite"
    if old:
        second_release(path, rows).close()
    together = threading.Barrier(8)

    def open_and_write(worker: int) -> None:
        together.wait(10)
        write(path, [row(START, requests=1)._replace(worker=10 + worker)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_write, range(8)))
    check(path, [*(rows if old else []), *([row(START, requests=1)] * 8)])


def test_a_file_of_a_later_release_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    write(path, [])
    with closing(sqlite3.connect(path)) as later:
        later.execute("DROP TRIGGER minutes_of_rollups")
        later.execute("PRAGMA user_version = 99")
    write(path, [])
    assert read(path, "SELECT name FROM sqlite_master WHERE name = 'minutes_of_rollups'") == []


def test_a_file_that_cannot_be_upgraded_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    with closing(second_release(path, [row(START, requests=1)])) as older:
        older.execute("UPDATE rollups SET latency = 'no JSON'")
        with pytest.raises(sqlite3.Error):
            open_for_writing(path)
        assert older.execute("SELECT name FROM sqlite_master WHERE name = 'minutes'").fetchall() == []
        older.execute(SECOND_INSERT, row(START, requests=1)[:-1])
    assert read(path, "SELECT requests FROM totals") == [(2,)]


def test_seconds_are_forgotten_then_minutes_and_never_totals(tmp_path: Path) -> None:
    path, now = tmp_path / "metrics.sqlite", int(time.time())
    ages = [KEEP_MINUTES_S + 120, KEEP_S + 120, 120]
    with closing(open_for_writing(path)) as connection:
        connection.executemany(INSERT, [row(now - age, requests=1) for age in ages])
        insert_resources(connection, [resources(now - age) for age in ages])
        forget(connection, now)
    assert read(path, "SELECT count(*) FROM rollups") == [(1,)]
    for table in ("minutes", "minute_latencies", "resource_minutes"):
        assert read(path, f"SELECT count(*) FROM {table}") == [(2,)]
    assert metrics.totals(path)[1].requests == 3
    found = counters(path)
    assert found is not None
    assert (found.versions[1].answers, found.cpu_s) == ({200: 3}, pytest.approx(1.5))


def test_what_processes_took_is_in_minutes_and_added_up(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    with closing(open_for_writing(path)) as connection:
        rows = [
            resources(START)._replace(memory_bytes=5, disk_free_bytes=-1),
            resources(START + 1)._replace(memory_bytes=9, disk_free_bytes=70, gpu_share=0.5),
            resources(START + 2)._replace(memory_bytes=7, disk_free_bytes=80),
        ]
        insert_resources(connection, rows)
        insert_resources(connection, [resources(START + 2)._replace(cpu_s=99.0)])  # another supervisor's, too late
    query = "SELECT span_s, cpu_s, memory_bytes, disk_free_bytes, gpu_share, gpu_memory_bytes FROM resource_minutes"
    assert read(path, query) == [(3.0, pytest.approx(1.5), 9, 70, 0.5, None)]
    assert read(path, "SELECT span_s, cpu_s FROM resource_totals") == [(3.0, pytest.approx(1.5))]


def row(second: int, *, requests: int) -> Rollup:
    """A second of plain answers."""
    return Rollup(
        *(second, 1, 1, requests, requests, 0, 0, 1, 1, 0, requests * 0.01, 0.0),
        *(json.dumps({-300: requests}), json.dumps({200: requests}), 0, 0.0, 0.0, "{}", 0),
    )


def resources(second: int) -> Resources:
    return Resources(second, 1.0, 1, 0.5, 10, 10, 1, 1, 10, 10)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())  # others may end meanwhile
    yield
    assert set(threading.enumerate()) <= before
