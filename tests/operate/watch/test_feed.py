"""The newest roll-ups of a deployment: each counted once, in the second it belongs to, whoever wrote it and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from metered import rollup

from autodeploy_magic.metrics import INSERT, Rollup, open_for_writing
from autodeploy_magic.operate.watch.feed import Feed

T = 1_763_740_800


def write(path: Path, rows: Iterable[Rollup]) -> None:
    with closing(open_for_writing(path)) as connection:
        connection.executemany(INSERT, list(rows))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.sqlite"


@pytest.fixture
def feed(file: Path) -> Iterator[Feed]:
    feed = Feed(file)
    yield feed
    feed.close()


def test_a_second_of_several_workers_and_versions_is_added_up(file: Path, feed: Feed) -> None:
    feed.read(T - 1)
    write(
        file,
        [
            rollup(T, [0.01, 0.02], worker=1, version=3, waiting=1, in_flight=2),
            rollup(T, [0.01], worker=2, version=3, statuses=[503], waiting=2, in_flight=1),
            rollup(T, [0.5], worker=2, version=4, statuses=[422], in_flight=1),
        ],
    )
    found = feed.read(T)
    assert (found.answers.requests, found.answers.failed, found.answers.refused) == (4, 1, 1)
    assert sum(found.answers.latency.values()) == 4
    assert {version: one.requests for version, one in found.by_version.items()} == {3: 3, 4: 1}
    assert (found.waiting, found.in_flight) == (3, 4)


def test_what_was_written_before_it_was_asked_first_is_no_news(file: Path) -> None:
    write(file, [rollup(T, [0.01])])
    with closing(Feed(file)) as feed:
        assert feed.read(T).answers.requests == 0
        write(file, [rollup(T + 1, [0.01])])
        assert feed.read(T + 1).answers.requests == 1


def test_a_second_that_is_not_due_waits_and_a_late_one_counts_once(file: Path, feed: Feed) -> None:
    feed.read(T - 1)
    write(file, [rollup(T, [0.01]), rollup(T + 1, [0.01, 0.01])])
    assert feed.read(T).answers.requests == 1
    write(file, [rollup(T, [0.01] * 5, worker=2)])
    assert feed.read(T + 1).answers.requests == 7
    assert feed.read(T + 2).by_version == {}


def test_a_file_that_is_made_later_or_anew_is_new_as_a_whole(file: Path, feed: Feed) -> None:
    assert feed.read(T).by_version == {}
    write(file, [rollup(T + 1, [0.01])])
    assert feed.read(T + 1).answers.requests == 1
    for name in ("metrics.sqlite", "metrics.sqlite-wal", "metrics.sqlite-shm"):
        file.with_name(name).unlink(missing_ok=True)
    assert feed.read(T + 2).by_version == {}
    write(file, [rollup(T + 3, [0.01, 0.01])])
    assert feed.read(T + 3).answers.requests == 2


def test_what_comes_much_too_late_is_left_to_the_totals(file: Path, feed: Feed) -> None:
    feed.read(T - 1)
    write(file, [rollup(T - 600, [0.01] * 9), rollup(T, [0.01])])
    assert feed.read(T).answers.requests == 1
