"""The time to the first items of streamed answers: written, added up, read step by step, and in files of before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from autodeploy_magic.metrics import INSERT_FIRST, FirstRow, bucket, forget, open_for_writing
from autodeploy_magic.metrics.counters import counters
from autodeploy_magic.metrics.firsts import first_items
from autodeploy_magic.metrics.schema import VERSION

START = 1_800_000_000


def row(second: int, seconds: float, *, version: int = 1, worker: int = 1) -> FirstRow:
    return FirstRow(second, worker, version, seconds, f'{{"{bucket(seconds)}": 1}}')


def test_steps_have_the_quantiles_of_their_answers(tmp_path: Path) -> None:
    file = tmp_path / "metrics.sqlite"
    assert first_items(file, START, 5, 3) == []
    with closing(open_for_writing(file)) as connection:
        assert first_items(file, START, 5, 3) == []
        rows = [row(START, 0.1), row(START + 4, 0.1, worker=2), row(START + 10, 0.2), row(START + 11, 9.0, version=2)]
        connection.executemany(INSERT_FIRST, rows)
        (first, none, last) = first_items(file, START, 5, 3, version=1)
        assert first == pytest.approx((0.1, 0.1), rel=0.01)
        assert none == (None, None)
        assert last == pytest.approx((0.2, 0.2), rel=0.01)
        assert first_items(file, START + 20, 5, 3) == []
        found = counters(file)
        assert found is not None
        assert found.versions[1].firsts == {bucket(0.1): 2, bucket(0.2): 1}
        forget(connection, START + 30 * 24 * 3600)
        assert first_items(file, START, 5, 3) == []


def test_a_file_of_the_release_before_keeps_what_it_counted(tmp_path: Path) -> None:
    file = tmp_path / "metrics.sqlite"
    with closing(open_for_writing(file)) as connection:
        connection.execute("INSERT INTO latencies VALUES (1, -100, 7)")  # of roll-ups that are not kept any more
        for table in ("firsts", "first_totals", "first_latencies"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
    with closing(open_for_writing(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        connection.execute(INSERT_FIRST, row(START, 0.5))
        assert connection.execute("SELECT * FROM latencies").fetchall() == [(1, -100, 7)]
        assert connection.execute("SELECT * FROM first_totals").fetchall() == [(1, 0.5)]
    with closing(sqlite3.connect(file)) as connection:
        triggers = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone()
    assert triggers == (4,)
