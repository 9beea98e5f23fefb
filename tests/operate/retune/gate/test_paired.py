"""The statistics of two models on the same rows, against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from autodeploy_magic.operate.retune.gate.paired import mcnemar_p, mean_p, most_loss, most_mean, most_share, resampled

COUNTS = st.integers(0, 60)


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_binomial_test_of_discordant_rows(worse: int, better: int) -> None:
    wanted = binomtest(better, worse + better, 0.5, "greater").pvalue if worse + better else 1.0
    assert mcnemar_p(worse, better) == pytest.approx(wanted)


@given(COUNTS, COUNTS, st.integers(0, 500))
def test_the_bound_of_a_loss_lies_above_it_and_falls_with_more_rows(worse: int, better: int, more: int) -> None:
    rows = worse + better + more + 1
    bound = most_loss(worse, better, rows)
    assert (worse - better) / rows <= bound <= 1
    assert most_loss(2 * worse, 2 * better, 2 * rows) <= bound + 1e-9
    assert most_loss(worse + 1, better, rows) >= bound - 1e-9


def test_no_rows_prove_nothing() -> None:
    assert most_loss(0, 0, 0) == most_share(0, 0) == 1.0
    assert most_mean(np.zeros(1), 0.3) == 0.3
    assert mean_p(np.ones(1)) == 1.0


def test_six_hundred_rows_without_one_that_differs_bound_half_a_percent() -> None:
    assert most_share(0, 598) < 0.005 < most_share(0, 597)
    assert most_loss(0, 0, 600) < 0.005


def test_bounds_fail_as_seldom_as_they_say() -> None:
    chance = np.random.default_rng(0)
    failed = {"loss": 0, "share": 0, "mean": 0}
    for _ in range(600):
        kinds = chance.choice(3, 300, p=[0.03, 0.02, 0.95])
        failed["loss"] += most_loss(int((kinds == 0).sum()), int((kinds == 1).sum()), 300) < 0.01
        failed["share"] += most_share(int((kinds == 0).sum()), 300) < 0.03
        values = chance.beta(0.2, 5, 300)
        failed["mean"] += most_mean(values, 1.0) < 0.2 / 5.2
    assert failed["loss"] <= 50
    assert failed["share"] <= 40
    assert failed["mean"] <= 30


def test_a_mean_of_nothing_is_rarely_one_of_something() -> None:
    chance = np.random.default_rng(1)
    found = [mean_p(chance.normal(0, 1, 100)) for _ in range(500)]
    assert 10 <= sum(p < 0.05 for p in found) <= 45
    assert mean_p(chance.normal(0.5, 1, 100)) < 0.001
    assert (mean_p(np.ones(5)), mean_p(np.zeros(5))) == (0.0, 1.0)


def test_resampled_means_spread_like_the_standard_error_and_repeat() -> None:
    values = np.random.default_rng(2).normal(3, 1, 400)
    drawn = resampled(lambda rows: values[rows].mean(axis=1), 400, 7)
    assert len(drawn) == 2000
    assert drawn.std() == pytest.approx(1 / 20, rel=0.1)
    np.testing.assert_array_equal(drawn, resampled(lambda rows: values[rows].mean(axis=1), 400, 7))
