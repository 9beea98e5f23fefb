"""Retention: what is old goes, and where there is too much the oldest without a label."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from recordings import recorded

from autodeploy_magic.reservoir import Label, add_labels, recent
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert, trim, used_bytes

EVER_S = 1e9
MB = 1 << 20


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_for_writing(path)) as connection:
        yield connection


def kept(path: Path) -> list[str]:
    return [request.id for request in reversed(recent(path, 1 << 20))]


def fill(connection: sqlite3.Connection, first: int, last: int, *, size: int = 1000, status: int = 200) -> None:
    with connection:
        connection.execute("BEGIN")
        insert(connection, [recorded(f"r{i}", 1, at_s=i, status=status, body="x" * size) for i in range(first, last)])


def test_what_is_old_goes_with_its_labels(path: Path, connection: sqlite3.Connection) -> None:
    fill(connection, 0, 20)
    add_labels(path, [Label("r3", 0, 1), Label("r15", 0, 1), Label("nobody", 0, 1)], 5.0)
    assert trim(connection, 20.0, keep_s=10.0, most_bytes=10 * MB) == 10
    assert kept(path) == [f"r{i}" for i in range(10, 20)]
    assert connection.execute("SELECT request FROM labels").fetchall() == [("r15",)]


def test_of_too_much_the_oldest_without_a_label_goes_first(path: Path, connection: sqlite3.Connection) -> None:
    fill(connection, 0, 2000)
    add_labels(path, [Label(f"r{i}", 0, 1) for i in range(0, 2000, 20)], 5.0)
    before = used_bytes(connection)
    trim(connection, 0.0, keep_s=EVER_S, most_bytes=before + 1)
    assert len(kept(path)) == 2000
    trim(connection, 0.0, keep_s=EVER_S, most_bytes=MB)
    assert used_bytes(connection) <= MB
    found = kept(path)
    unlabelled = [int(name[1:]) for name in found if int(name[1:]) % 20]
    assert set(range(0, 2000, 20)) <= {int(name[1:]) for name in found}
    assert unlabelled == [i for i in range(unlabelled[0], 2000) if i % 20]
    assert len(unlabelled) > 300


def test_labelled_requests_go_last(path: Path, connection: sqlite3.Connection) -> None:
    fill(connection, 0, 600)
    add_labels(path, [Label(f"r{i}", 0, "x" * 300) for i in range(600)], 5.0)
    add_labels(path, [Label(f"unmatched{i}", 0, "x" * 300) for i in range(300)], 5.0)
    most = used_bytes(connection) // 2
    trim(connection, 0.0, keep_s=EVER_S, most_bytes=most)
    assert used_bytes(connection) <= most
    left = kept(path)
    assert left == [f"r{i}" for i in range(600 - len(left), 600)]
    assert 100 < len(left) < 400
    assert [row for (row,) in connection.execute("SELECT request FROM labels ORDER BY number")] == left


def test_a_storm_of_errors_displaces_no_answers(path: Path, connection: sqlite3.Connection) -> None:
    fill(connection, 0, 200)
    fill(connection, 200, 260, size=100_000, status=500)
    trim(connection, 0.0, keep_s=EVER_S, most_bytes=4 * MB)
    failed = [request.id for request in recent(path, 1000, failed=True)]
    assert set(kept(path)) >= {f"r{i}" for i in range(200)}
    assert failed == [f"r{i}" for i in reversed(range(260 - len(failed), 260))]
    assert 8 <= len(failed) <= 10


def test_a_limit_that_was_lowered_gives_the_disk_room(path: Path, connection: sqlite3.Connection) -> None:
    fill(connection, 0, 3000)
    for _ in range(3):
        trim(connection, 0.0, keep_s=EVER_S, most_bytes=MB)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size <= MB + 100_000
    assert kept(path)[-1] == "r2999"


def test_an_id_that_is_there_already_is_left_as_it_is(path: Path, connection: sqlite3.Connection) -> None:
    fill(connection, 0, 2)
    fill(connection, 1, 3, status=500)
    assert [(request.id, request.status) for request in recent(path, 9)] == [("r2", 500), ("r1", 200), ("r0", 200)]


def test_a_row_has_no_more_bytes_than_are_counted(path: Path, connection: sqlite3.Connection) -> None:
    empty = used_bytes(connection)
    with connection:
        connection.execute("BEGIN")
        counted = insert(connection, [recorded(f"r{i}", 20) for i in range(2000)])
    assert 0.7 * counted < used_bytes(connection) - empty < 1.2 * counted
