"""Recording: what is written is what was answered, and a disk that fails costs records, never answers."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pytest

from autodeploy_magic import metrics
from autodeploy_magic.serve import record
from autodeploy_magic.serve.record import Recorder


def test_what_is_recorded_is_what_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sqlite"
    seconds = [random.Random(7).lognormvariate(-6, 1) for _ in range(2000)]
    workers = [Recorder(path, worker=pid, version=1) for pid in (1, 2)]
    for recorder in workers:
        recorder.start()
    for i, value in enumerate(seconds):
        status = 200 if i % 10 else 422 if i % 20 else 500
        workers[i % 2].observe(status=status, seconds=value, rows=2, bytes_in=10, bytes_out=20)
    for recorder in workers:
        recorder.close()
    found = metrics.recent(path, 60)
    assert found is not None
    assert (found.requests, found.refused, found.failed, found.dropped) == (2000, 100, 100, 0)
    assert found.p50_s == pytest.approx(statistics.median(seconds), rel=0.02)
    assert found.p99_s == pytest.approx(sorted(seconds)[1979], rel=0.02)


def test_nothing_recorded_is_unknown_not_zero(tmp_path: Path) -> None:
    assert metrics.recent(tmp_path / "metrics.sqlite", 60) is None
    metrics.open_for_writing(tmp_path / "metrics.sqlite").close()
    found = metrics.recent(tmp_path / "metrics.sqlite", 60)
    assert found is not None
    assert found.p50_s is None


def test_a_full_queue_drops_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "QUEUE", 10)
    recorder = Recorder(tmp_path / "metrics.sqlite", worker=1, version=1)
    for _ in range(25):
        recorder.observe(status=200, seconds=0.001, rows=1, bytes_in=1, bytes_out=1)
    recorder.start()
    recorder.close()
    found = metrics.recent(tmp_path / "metrics.sqlite", 60)
    assert found is not None
    assert (found.requests, found.dropped) == (10, 15)


def test_a_database_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "metrics.sqlite").mkdir()
    recorder = Recorder(tmp_path / "metrics.sqlite", worker=1, version=1)
    recorder.start()
    recorder.observe(status=200, seconds=0.001, rows=1, bytes_in=1, bytes_out=1)
    recorder.close()
    assert recorder.dropped == 1
