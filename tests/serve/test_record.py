"""Recording: what is written is what was answered, and a disk that fails costs records, never answers."""

from __future__ import annotations

import math
import random
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

import pytest
from world import until

from autodeploy_magic import metrics
from autodeploy_magic.serve import record
from autodeploy_magic.serve.lane.lane import LaneStats
from autodeploy_magic.serve.record import Recorder


def test_what_is_recorded_is_what_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    seconds = [random.Random(7).lognormvariate(-6, 1) for _ in range(2000)]
    workers = [Recorder(path, worker=pid) for pid in (1, 2)]
    for recorder in workers:
        recorder.start()
    for i, value in enumerate(seconds):
        status = 200 if i % 10 else 422 if i % 20 else 500
        workers[i % 2].observe(1, status, value, 2, 10, 20)
    for recorder in workers:
        recorder.close()
    found = metrics.recent(path, 60)
    assert found is not None
    assert (found.requests, found.refused, found.failed, found.dropped) == (2000, 100, 100, 0)
    assert found.p50_s == pytest.approx(statistics.median(seconds), rel=0.02)
    assert found.p99_s == pytest.approx(sorted(seconds)[1979], rel=0.02)


def test_totals_outlast_what_is_trimmed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    assert metrics.totals(path) == {}
    for pid in (1, 2):
        recorder = Recorder(path, worker=pid)
        lanes = [{1: LaneStats(batches={3: 2, 5: 1}, run_s=0.5, queue_s=0.25)}]
        recorder.lanes = lambda lanes=lanes: lanes.pop() if lanes else {}
        recorder.start()
        for status in (200, 200, 422, 500):
            recorder.observe(1, status, 0.125, 3, 1, 1)
        recorder.observe(2, 404, 1.0, 0, 1, 1)
        recorder.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM rollups")
    found = metrics.totals(path)
    assert found[1]._replace(last=0) == metrics.Totals(
        requests=8,
        rows=12,
        refused=2,
        failed=2,
        seconds=1.0,
        unanswered_s=0.5,
        executions=6,
        queue_s=0.5,
        run_s=1.0,
        last=0,
        runs={3: 4, 5: 2},
    )
    assert abs((found[1].last or 0) - time.time()) < 60
    assert (found[2].requests, found[2].last, found[2].runs) == (2, None, {})


def test_nothing_recorded_is_unknown_not_zero(tmp_path: Path) -> None:
    assert metrics.recent(tmp_path / "metrics.sqlite", 60) is None
    metrics.open_for_writing(tmp_path / "metrics.sqlite").close()
    found = metrics.recent(tmp_path / "metrics.sqlite", 60)
    assert found is not None
    assert found.p50_s is None


def test_a_full_queue_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "QUEUE", 10)
    recorder = Recorder(tmp_path / "metrics.sqlite", worker=1)
    now = time.time() - 30
    with monkeypatch.context() as clock:
        for second in range(25):
            clock.setattr(record.time, "time", lambda second=second: now + second)
            recorder.observe(1, 200, 0.001, 1, 1, 1)
        clock.setattr(record.time, "time", lambda: now + 25)
        recorder.tick()
    recorder.start()
    recorder.close()
    found = metrics.recent(tmp_path / "metrics.sqlite", 60)
    assert found is not None
    assert (found.requests, found.dropped) == (10, 15)


def test_a_database_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "metrics.sqlite").mkdir()
    recorder = Recorder(tmp_path / "metrics.sqlite", worker=1)
    recorder.start()
    recorder.observe(1, 200, 0.001, 1, 1, 1)
    recorder.close()
    assert recorder.dropped == 1


def test_a_database_of_an_older_release_is_written_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE rollups (second INTEGER, worker INTEGER, version INTEGER, requests INTEGER, rows INTEGER,"
            " refused INTEGER, failed INTEGER, bytes_in INTEGER, bytes_out INTEGER, dropped INTEGER, latency TEXT)"
        )
        old.execute("INSERT INTO rollups VALUES (?, 1, 1, 5, 5, 0, 0, 1, 1, 0, '{}')", (int(time.time()),))
    old.close()
    recorder = Recorder(path, worker=1)
    recorder.start()
    recorder.observe(1, 200, 0.001, 1, 1, 1)
    recorder.close()
    found = metrics.recent(path, 60)
    assert found is not None
    assert (found.requests, found.dropped) == (6, 0)


def test_a_second_in_which_nothing_was_answered_and_something_was_under_way_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.sqlite"
    now = time.time() - 30
    monkeypatch.setattr(record.time, "time", lambda: now)
    recorder = Recorder(path, worker=1)
    lanes = [{1: LaneStats(in_flight=2, waiting=1), 2: LaneStats()}, {1: LaneStats(in_flight=3), 2: LaneStats()}]
    recorder.lanes = lambda: lanes.pop(0)
    now += 1
    recorder.tick()
    recorder.tick()  # which has come too early
    recorder.observe(2, 200, 0.001, 1, 1, 1)
    now += 1
    recorder.tick()
    monkeypatch.undo()
    recorder.lanes = dict
    recorder.start()
    recorder.close()
    first = int(now) - 2
    assert _read(path, "second, version, requests, waiting, in_flight") == [
        (first, 1, 0, 1, 2),
        (first + 1, 1, 0, 0, 3),
        (first + 1, 2, 1, 0, 1),
    ]


def test_a_loop_that_stands_still_with_a_request_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LOOK_S", 0.05)
    path = tmp_path / "metrics.sqlite"
    recorder = Recorder(path, worker=1)
    recorder.held = lambda seconds: {1: 1, 2: 0} if seconds < 1 else {}
    begun = recorder._second
    recorder.start()
    until(lambda: len(_read(path, "second")) >= 2)
    recorder.close()
    found = _read(path, "second, version, requests, in_flight")
    assert found[:2] == [(begun + 1, 1, 0, 1), (begun + 2, 1, 0, 1)]


def test_the_last_seconds_of_a_loop_that_stood_still_are_told_by_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer looks once a second: what the model held up since, it has not seen."""
    path = tmp_path / "metrics.sqlite"
    now = math.floor(time.time()) - 30.0
    monkeypatch.setattr(record.time, "time", lambda: now)
    recorder = Recorder(path, worker=1)
    begun, now = int(now), now + 1.0
    recorder.tick()
    recorder.held = lambda _: {1: 1, 2: 0}
    now += 2.9
    recorder._look()  # all that the writer's thread does before it writes
    now += 2.2
    recorder.observe(1, 200, 5.0, 1, 1, 1)
    recorder.observe(2, 200, 5.0, 1, 1, 1)
    recorder._look()
    now += 3.0
    recorder.observe(2, 200, 0.5, 1, 1, 1)  # of the seconds in between it knows nothing
    monkeypatch.undo()
    recorder.held = lambda _: {}
    recorder.start()
    recorder.close()
    assert _read(path, "second, version, requests, in_flight") == [
        *((begun + 2 + i, 1, 0, 1) for i in range(4)),
        (begun + 6, 1, 1, 1),
        (begun + 6, 2, 1, 1),
        (begun + 9, 2, 1, 1),
    ]


def test_a_clock_that_leaps_tells_of_no_hours_that_nobody_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a laptop was closed."""
    path = tmp_path / "metrics.sqlite"
    recorder = Recorder(path, worker=1)
    recorder.held = lambda _: {1: 1}
    now = time.time() + 3600
    monkeypatch.setattr(record.time, "time", lambda: now)
    monkeypatch.setattr(record, "LOOK_S", 0.05)
    recorder.start()
    until(lambda: _read(path, "second"))
    recorder.close()
    assert len(_read(path, "second")) < record.LONGEST_S


def test_what_was_dropped_is_told_once_it_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.sqlite"
    with closing(metrics.open_for_writing(path)) as other:
        monkeypatch.setattr(record, "QUEUE", 1)
        recorder = Recorder(path, worker=1)
        now = time.time()
        for second in range(3):
            monkeypatch.setattr(record.time, "time", lambda second=second: now + second)
            recorder.observe(1, 200, 0.001, 1, 1, 1)
        monkeypatch.undo()
        assert recorder.dropped == 1
        failing = ["no"]

        def once(path: Path) -> sqlite3.Connection:
            connection = metrics.open_for_writing(path)
            if failing:
                failing.clear()
                connection.execute("PRAGMA query_only = 1")
            return connection

        monkeypatch.setattr(record, "open_for_writing", once)
        monkeypatch.setattr(record, "LOOK_S", 0.05)
        recorder.start()
        until(lambda: _read(path, "second"))
        recorder.close()
        assert other.execute("SELECT sum(requests), sum(dropped) FROM rollups").fetchone() == (2, 1)
    assert failing == []
    assert recorder.dropped == 0


def _read(path: Path, columns: str) -> list[tuple[int, ...]]:
    with closing(metrics.open_for_writing(path)) as connection:
        return connection.execute(f"SELECT {columns} FROM rollups ORDER BY second, version").fetchall()
