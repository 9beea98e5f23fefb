"""Labels: late, twice, contradictory, before their request, from two processes at once, and on a full disk."""

from __future__ import annotations

import multiprocessing
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from recordings import SIGNATURE, Record, recorded

from autodeploy_magic.reservoir import Accepted, Label, add_labels, recent_labelled

NEWEST = 1 << 20


def labelled(path: Path) -> list[tuple[str, int, Any, Any]]:
    return [(one.request, one.row, one.label, one.before) for one in recent_labelled(path, SIGNATURE, NEWEST)]


def test_a_label_is_joined_with_what_was_answered(path: Path, record: Record) -> None:
    record([recorded("a", rows=3)])
    assert add_labels(path, [Label("a", 1, "yes")], 5000.0) == Accepted(1, 0, 0, 0)
    (found,) = recent_labelled(path, SIGNATURE, 10)
    assert (found.prediction, found.label, found.before, found.version) == ("no", "yes", None, 1)
    assert (found.answered_s, found.labelled_s, found.confidence) == (1000.0, 5000.0, 0.9)
    assert found.columns == {"age": 1.0, "city": "c1"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_newest_of_contradictory_labels_counts_and_the_one_before_is_told(path: Path, record: Record) -> None:
    record([recorded("a")])
    assert add_labels(path, [Label("a", 0, 1), Label("a", 1, "x")], 1.0) == Accepted(2, 0, 0, 0)
    assert add_labels(path, [Label("a", 0, 2), Label("a", 1, "x")], 2.0) == Accepted(0, 1, 1, 0)
    assert add_labels(path, [Label("a", 0, 3), Label("a", 0, 3.0)], 3.0) == Accepted(0, 1, 1, 0)
    assert labelled(path) == [("a", 0, 3, 2), ("a", 1, "x", None)]
    assert add_labels(path, [Label("a", 0, True), Label("a", 1, None)], 4.0) == Accepted(0, 1, 0, 0)


def test_a_label_waits_for_its_request(path: Path, record: Record) -> None:
    assert add_labels(path, [Label("a", 0, "yes"), Label("never", 0, 1)], 1.0) == Accepted(2, 0, 0, 2)
    assert labelled(path) == []
    record([recorded("a")])
    assert labelled(path) == [("a", 0, "yes", None)]


def test_rows_that_were_not_kept_or_not_answered_match_nothing(path: Path, record: Record) -> None:
    record([recorded("large", rows=100, kept=(0, 50)), recorded("failed", status=500, outputs={})])
    given = [
        Label("large", 50, "yes"),
        Label("large", 51, "yes"),
        Label("large", 100, "yes"),
        Label("failed", 0, "yes"),
    ]
    assert add_labels(path, given, 1.0) == Accepted(4, 0, 0, 3)
    assert labelled(path) == [("large", 50, "yes", None)]


@pytest.mark.parametrize("label", [0, -1.5, "é\u0000", False, [1, "two", None], 10**30])
def test_any_scalar_or_list_of_them_is_a_label(path: Path, record: Record, label: Any) -> None:
    record([recorded("a")])
    assert add_labels(path, [Label("a", 0, label)], 1.0).new == 1
    assert labelled(path) == [("a", 0, label, None)]
    assert add_labels(path, [Label("a", 0, label)], 1.0).same == 1


def _label(path: Path, first: int, go: Any) -> None:
    go.wait(20.0)
    for i in range(first, first + 200, 10):
        add_labels(path, [Label(f"r{j}", 0, first) for j in range(i, i + 10)], 1.0)


def test_two_processes_may_label_at_once(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    go = context.Event()
    processes = [context.Process(target=_label, args=(path, first, go)) for first in (0, 100)]
    for process in processes:
        process.start()
    go.set()
    for process in processes:
        process.join(30.0)
        assert process.exitcode == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*), sum(changes) FROM labels").fetchone() == (300, 100)


@pytest.fixture
def full_disk(path: Path) -> Iterator[None]:
    """No file of this process may grow beyond what a few hundred labels take."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_none_is_written_and_none_is_lost(path: Path, record: Record) -> None:
    record([recorded("a")])
    add_labels(path, [Label("a", 0, "yes")], 1.0)
    with pytest.raises((sqlite3.Error, OSError)):
        add_labels(path, [Label("a", 0, "no"), *(Label(f"r{i}", 0, "x" * 100) for i in range(5000))], 2.0)
    assert labelled(path) == [("a", 0, "yes", None)]
    assert add_labels(path, [Label("a", 1, "no")], 3.0).new == 1
