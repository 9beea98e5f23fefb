"""Weights of rows, and turns in a stream of errors: found where there is one, and hardly ever where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from autodeploy_magic.operate.retune.weights import balanced, by_age, half_life, imbalanced, in_time, turn


def test_each_class_counts_alike() -> None:
    codes = np.array([0] * 90 + [1] * 10)
    weights = balanced(codes)
    assert weights[codes == 0].sum() == pytest.approx(weights[codes == 1].sum())
    assert weights.mean() == pytest.approx(1.0)
    assert imbalanced(codes)
    assert not imbalanced(np.array([0, 1] * 50))
    assert not imbalanced(np.array([0] * 60 + [1] * 40))


def test_a_row_counts_half_of_one_that_is_a_half_life_younger() -> None:
    at_s = [0.0, 1000.0, 1100.0, 1200.0]
    weights = by_age(at_s, 100.0)
    assert weights[3] / weights[2] == pytest.approx(2.0)
    assert weights[0] == weights[1], "of unknown age counts as the oldest"
    assert weights.mean() == pytest.approx(1.0)
    assert half_life(at_s) == 50.0
    assert half_life([0.0, 0.0]) == 0.0
    assert by_age([0.0, 0.0], 1.0).tolist() == [1.0, 1.0]
    assert in_time([3.0, 0.0, 1.0, 0.0]).tolist() == [1, 3, 2, 0]
    assert np.isfinite(by_age([1.0, 1e9], 1.0)).all()


@pytest.mark.parametrize(("before", "after"), [(0.02, 0.5), (0.1, 0.3), (0.3, 0.9)])
def test_a_turn_is_found_where_it_is(before: float, after: float) -> None:
    random = np.random.default_rng(0)
    errors = np.concatenate([random.random(300) < before, random.random(300) < after])
    found = turn(errors, np.arange(600.0))
    assert found is not None
    assert abs(found.at - 300) < 25
    assert found.at_s == found.at
    assert found.before < found.after
    assert found.chance < 0.001


def test_the_last_of_two_is_returned() -> None:
    random = np.random.default_rng(1)
    errors = np.concatenate([random.random(300) < share for share in (0.02, 0.3, 0.8)])
    found = turn(errors, np.arange(900.0))
    assert found is not None
    assert abs(found.at - 600) < 25


def test_where_there_is_none_it_is_hardly_ever_seen() -> None:
    """A hundred streams: as many false turns as the level says, or a few more."""
    random = np.random.default_rng(2)
    streams = [random.random(400) < share for share in (0.01, 0.05, 0.2, 0.5) for _ in range(50)]
    numbers = [np.abs(random.standard_t(3, 400)) for _ in range(50)]
    false = sum(turn(errors, np.arange(400.0)) is not None for errors in [*streams, *numbers])
    assert false <= 6


def test_a_model_that_became_better_and_few_rows_have_no_turn() -> None:
    errors = np.concatenate([np.ones(100), np.zeros(100)])
    assert turn(errors, np.arange(200.0)) is None
    assert turn(errors[::-1][:20], np.arange(20.0)) is None
    assert turn(np.zeros(100), np.arange(100.0)) is None
    assert turn([], []) is None
