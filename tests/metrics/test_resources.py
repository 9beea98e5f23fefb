"""Rows of what processes took: written once, kept for a time, and read back."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from metered import alive, write

from autodeploy_magic.metrics import open_for_writing
from autodeploy_magic.metrics.resources import forget_resources, last_resources


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "metrics.sqlite"
    assert last_resources(file) is None
    rows = [alive(100), alive(101)._replace(gpu_share=0.5, gpu_memory_bytes=7)]
    write(file, [], rows)
    assert last_resources(file) == rows[1]


def test_a_second_is_counted_once(tmp_path: Path) -> None:
    file = write(tmp_path / "metrics.sqlite", [], [alive(120, cpu_s=0.5), alive(121, cpu_s=0.5)])
    write(file, [], [alive(121, cpu_s=0.9), alive(122, cpu_s=0.5)])  # the supervisor that came after
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT span_s, cpu_s FROM resource_minutes").fetchall() == [(3.0, 1.5)]


def test_seconds_go_and_minutes_stay(tmp_path: Path) -> None:
    now = int(time.time())
    old, older = now - 3 * 3600, now - 31 * 24 * 3600
    file = write(tmp_path / "metrics.sqlite", [], [alive(older), alive(old), alive(now)])
    with closing(open_for_writing(file)) as connection:
        forget_resources(connection, now)
        assert connection.execute("SELECT second FROM resources").fetchall() == [(now,)]
        minutes = connection.execute("SELECT minute FROM resource_minutes ORDER BY 1").fetchall()
    assert minutes == [(old // 60 * 60,), (now // 60 * 60,)]


def test_a_row_covers_the_seconds_before_it() -> None:
    assert [second for second in range(90, 110) if alive(100, span_s=3.01).covers(second)] == [98, 99, 100]
    assert [second for second in range(90, 110) if alive(100, span_s=0.4).covers(second)] == [100]
