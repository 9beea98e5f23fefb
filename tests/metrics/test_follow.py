"""The newest seconds of a file that is written meanwhile."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from metered import rollup, write

from autodeploy_magic.metrics.follow import Follower


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.sqlite"


def test_what_is_new_is_told_once(file: Path) -> None:
    write(file, [rollup(100, [0.1])])
    with closing(Follower(file)) as follower:
        assert follower.news() == set()  # what was there before is nothing new
        write(file, [rollup(101, [0.1]), rollup(101, [0.2], worker=2), rollup(99, [0.1])])
        assert follower.news() == {99, 101}
        assert follower.news() == set()
        answered = follower.answered(101)
        assert answered is not None
        assert (answered.sums[0], sum(answered.latency.values())) == (2, 2)
        assert follower.answered(102) is None


def test_a_file_that_comes_later_and_one_that_is_made_again(file: Path) -> None:
    with closing(Follower(file)) as follower:
        assert follower.news() == set()
        assert follower.answered(100) is None
        write(file, [rollup(second, [0.1]) for second in range(100, 110)])
        assert follower.answered(105) is not None
        assert follower.news() == set(range(100, 110))
        for name in file.parent.iterdir():
            name.unlink()
        assert follower.answered(105) is None
        write(file, [rollup(105, [0.1, 0.1])])
        answered = follower.answered(105)
        assert answered is not None
        assert answered.sums[0] == 2
        assert follower.news() == {105}
        write(file, [rollup(106, [0.1])])
        assert follower.news() == {106}


def test_a_table_that_was_emptied_counts_from_the_beginning(file: Path) -> None:
    write(file, [rollup(second, [0.1]) for second in range(100, 110)])
    with closing(Follower(file)) as follower:
        follower.news()
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("DELETE FROM rollups")
        write(file, [rollup(120, [0.1])])
        assert follower.news() == {120}


def test_a_file_that_cannot_be_read_is_no_file_without_rows(file: Path) -> None:
    with closing(Follower(file)) as follower:
        file.write_bytes(b"SQLite format 3\0" + bytes(4096))
        with pytest.raises(sqlite3.Error):
            follower.answered(100)
        file.unlink()
        write(file, [rollup(100, [0.1])])
        assert follower.answered(100) is not None
