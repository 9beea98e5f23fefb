"""What a run is expected to take: the record's line, moved by what runs of about that size took."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from versions import X, write_version

from autodeploy_magic.serve.lane.service_time import INLINE_S, ServiceTime, recorded


def test_a_record_gives_a_line(tmp_path: Path, classifier: Any) -> None:
    times = recorded(write_version(tmp_path, classifier, X, one_row_s=0.003, batch_s=0.003 + 255e-5))
    assert times.predict(1) == pytest.approx(0.003)
    assert times.predict(101) == pytest.approx(0.004)
    assert times.predict(256) == pytest.approx(0.003 + 255e-5)


def test_without_a_batch_time_is_taken_to_grow_with_the_rows(tmp_path: Path, classifier: Any) -> None:
    assert recorded(write_version(tmp_path, classifier, X, one_row_s=0.003)).predict(10) == pytest.approx(0.03)


def test_a_batch_that_was_quicker_than_one_row_has_rows_for_nothing(tmp_path: Path, classifier: Any) -> None:
    times = recorded(write_version(tmp_path, classifier, X, one_row_s=0.003, batch_s=0.002))
    assert times.predict(1) == times.predict(1000) == pytest.approx(0.003)


def test_unmeasured_is_infinite_until_a_run_was_seen(tmp_path: Path, classifier: Any) -> None:
    times = recorded(write_version(tmp_path, classifier, X, one_row_s=None))
    assert times.predict(1) == math.inf
    assert not times.is_short(1)
    times.note(16, 0.016)
    assert times.predict(16) == pytest.approx(0.016)
    assert 0.008 <= times.predict(1) <= 0.016  # of other sizes nothing is known: nearer to the worse
    assert times.predict(32) > 0.016


def test_runs_move_what_is_expected_of_their_size_and_of_sizes_not_seen() -> None:
    times = ServiceTime(0.001, 0.0001)
    times.note(1, 0.0011)
    for _ in range(100):
        times.note(64, 0.0148)
    assert times.predict(1) == pytest.approx(0.0011)
    assert times.predict(64) == pytest.approx(0.0148, rel=0.01)
    assert times.predict(128) == pytest.approx(2 * 0.0138, rel=0.01)
    times.calibrate(256, 0.5)
    assert times.predict(256) == pytest.approx(0.5)


def test_one_run_that_took_long_changes_little_and_several_do() -> None:
    times = ServiceTime(0.001, 0.0)
    times.note(1, 0.001)
    times.note(1, 1.0)
    assert times.is_short(1)
    for _ in range(5):
        times.note(1, 1.0)
    assert not times.is_short(1)


def test_a_size_changes_its_place_only_at_a_clear_difference() -> None:
    times = ServiceTime(INLINE_S * 0.9, 0.0)
    assert times.is_short(1)
    times.calibrate(1, INLINE_S * 1.1)
    assert not times.is_short(1)
    times.calibrate(1, INLINE_S * 0.9)
    assert not times.is_short(1)
    times.calibrate(1, INLINE_S * 0.5)
    assert times.is_short(1)
    times.calibrate(1, INLINE_S * 0.9)
    assert times.is_short(1)
