"""The statistics, beside scipy's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from autodeploy_magic.operate.detect.distributions import (
    homogeneity,
    ks,
    level,
    more_than,
    noise,
    psi,
    thinned,
    usual,
)

ALL_USED = np.ones((1, 10), dtype=bool)


def test_the_index_is_what_the_formula_gives() -> None:
    was, now = np.full((1, 10), 1e6), np.array([[2e6, *[1e6] * 8, 0.5e6]])
    shares = was[0] / was.sum(), now[0] / now.sum()
    wanted = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
    assert psi(was, now, ALL_USED)[0] == pytest.approx(wanted, rel=1e-5)
    assert psi(was, was, ALL_USED)[0] == 0


def test_cells_that_a_column_does_not_have_count_for_nothing() -> None:
    was, now = np.array([[30.0, 70.0, 0.0]]), np.array([[60.0, 40.0, 0.0]])
    narrow = psi(was[:, :2], now[:, :2], np.ones((1, 2), dtype=bool))
    assert psi(was, now, np.array([[True, True, False]])) == pytest.approx(narrow)


def test_what_chance_makes_of_the_index_is_taken_off() -> None:
    chance = np.random.default_rng(0)
    was = chance.multinomial(500, [0.1] * 10, size=2000).astype(float)
    now = chance.multinomial(200, [0.1] * 10, size=2000).astype(float)
    used = np.ones((2000, 10), dtype=bool)
    assert psi(was, now, used).mean() == pytest.approx(noise(was, now, used).mean(), rel=0.1)


def test_the_tests_agree_with_scipy_s() -> None:
    chance = np.random.default_rng(1)
    was = chance.multinomial(500, [0.1] * 10).astype(float)
    now = chance.multinomial(200, np.linspace(0.05, 0.15, 10)).astype(float)
    assert homogeneity(was, now) == pytest.approx(stats.chi2_contingency([was, now], correction=False).pvalue)
    told = stats.ks_2samp(np.repeat(np.arange(10), was.astype(int)), np.repeat(np.arange(10), now.astype(int)))
    assert ks(was, now) == pytest.approx(told.pvalue, rel=0.2)
    assert more_than(12, 200, 0.02) == pytest.approx(stats.binom.sf(11, 200, 0.02))
    assert usual(3, 100) == pytest.approx(stats.binomtest(3, 100).proportion_ci(0.98).high)


def test_few_rows_are_never_significant() -> None:
    assert homogeneity(np.array([3.0, 0.0]), np.array([0.0, 3.0])) == 1
    assert ks(np.array([3.0, 0.0]), np.array([0.0, 3.0])) == 1
    assert homogeneity(np.array([500.0, 0.0]), np.array([195.0, 5.0])) > 1e-6  # five rows of a new kind
    assert usual(0, 0) == 1
    assert usual(0, 5) > 0.5


def test_chance_says_so_as_rarely_as_the_level_promises() -> None:
    chance = np.random.default_rng(2)
    shares = [0.5, 0.3, 0.1, 0.05, 0.03, 0.01, 0.01]
    found = [
        homogeneity(chance.multinomial(500, shares).astype(float), chance.multinomial(200, shares).astype(float))
        for _ in range(4000)
    ]
    assert np.mean(np.array(found) < 0.01) < 0.015
    assert min(found) > level(1)
    assert level(30) == pytest.approx(level(1) / 30)


def test_a_long_sample_is_thinned_evenly() -> None:
    assert thinned(range(1000), 10) == list(range(0, 1000, 100))
    assert thinned([1, 2], 10) == [1, 2]
