"""Burn rates and their statistics; what an alert of several windows does on its own."""

from __future__ import annotations

import random
from itertools import pairwise
from math import exp

import pytest
from scipy.stats import binom

from autodeploy_magic.operate.slo.burn import LEAST_BAD, PAIRS, Alarm, Burn, burn_rate, evidence
from autodeploy_magic.operate.slo.windows import PERIOD_S, Counted

START = 1_800_000_000


def fed(burn: Burn, seconds: int, events: int, bad: int, every: int = 1) -> list[Alarm | None]:
    """What it says in each of some seconds; `bad` ones come every so many seconds."""
    said = []
    for _ in range(seconds):
        t = burn.windows.now + 1
        burn.windows.add(t, events, bad if t % every == 0 else 0)
        said.append(burn.look())
    return said


def first(said: list[Alarm | None], severity: str = "") -> int | None:
    """After how many seconds it said something (so grave)."""
    told = (i + 1 for i, alarm in enumerate(said) if alarm is not None and severity in alarm.severity)
    return next(told, None)


def test_the_table_is_the_workbook_s_and_ours_before_it() -> None:
    book = [(pair.long_s, pair.short_s, pair.factor, pair.severity) for pair in PAIRS[-3:]]
    assert book == [
        (3600, 300, 14.4, "critical"),
        (6 * 3600, 1800, 6.0, "critical"),
        (PERIOD_S, 6 * 3600, 1.0, "warning"),
    ]
    assert all(12 * pair.short_s == pair.long_s for pair in PAIRS[-3:])
    assert [pair.long_s for pair in PAIRS[:2]] == [15, 30]


def test_a_burn_rate_is_the_bad_share_over_the_allowed_one() -> None:
    assert burn_rate(Counted(1000, 20, 1, 1), 0.001) == pytest.approx(20)
    assert burn_rate(Counted(0, 0, 0, 0), 0.001) is None


@pytest.mark.parametrize("allowed", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("events", [5, 30, 300, 6000])
def test_chance_is_never_more_than_the_bound_says(events: int, allowed: float) -> None:
    for bad in {1, 2, 5, events // 20, events // 5, events // 2, events} - {0}:
        assert binom.sf(bad - 1, events, allowed) <= exp(-evidence(events, bad, allowed)) * (1 + 1e-9)


def test_one_slow_answer_of_ten_is_no_alert_and_neither_are_four_of_four() -> None:
    burn = Burn(0.01, START)
    assert not any(fed(burn, 9, 1, 0) + fed(burn, 1, 1, 1) + fed(burn, 60, 0, 0))
    few = Burn(0.01, START)
    assert not any(fed(few, LEAST_BAD - 1, 1, 1) + fed(few, 120, 0, 0))
    assert first(fed(Burn(0.01, START), 20, 1, 1)) == LEAST_BAD


def test_one_bad_second_is_no_alert_unless_there_were_no_others() -> None:
    steady = Burn(0.001, START)
    assert not any(fed(steady, 7200, 100, 0) + fed(steady, 1, 100, 100) + fed(steady, 120, 100, 0))
    alone = Burn(0.001, START)
    assert first(fed(alone, 1, 100, 100) + fed(alone, 20, 0, 0)) == 10
    seldom = Burn(0.001, START)
    fed(seldom, 7200, 0, 0)
    assert first(fed(seldom, 1, 100, 100)) == 1


def test_what_burns_slowly_is_told_by_the_rows_of_the_book() -> None:
    burn = Burn(0.01, START)
    fed(burn, 2 * 3600, 10, 0)
    said = fed(burn, 5 * 3600, 50, 1)  # twice the allowed share
    found = first(said)
    assert found is not None
    assert 600 < found < 3 * 3600
    assert {alarm.severity for alarm in said if alarm} == {"warning"}


def test_a_version_in_its_first_minutes_has_no_credit() -> None:
    old, young = Burn(0.01, START), Burn(0.01, START)
    fed(old, 3600, 100, 0)
    fed(young, 60, 100, 0)
    for burn, severity in ((old, "warning"), (young, "critical")):
        said = fed(burn, 40, 100, 5)
        assert {alarm.severity for alarm in said if alarm} == {severity}
        found = first(said)
        assert found is not None
        assert found <= 20


def test_an_objective_that_allows_half_can_still_burn() -> None:
    burn = Burn(0.5, START)
    fed(burn, 3600, 100, 20)
    found = first(fed(burn, 60, 100, 90), "critical")
    assert found is not None
    assert found <= 15


def test_it_ends_soon_after_the_fault_does_though_the_hour_is_spoilt() -> None:
    burn = Burn(0.001, START)
    fed(burn, 600, 100, 0)
    assert first(fed(burn, 60, 100, 50), "critical") is not None
    rate = burn.rate(3600)
    assert rate is not None
    assert rate > 14.4
    after = fed(burn, 200, 100, 0)
    told = [i for i, alarm in enumerate(after) if alarm is not None]
    assert told == list(range(len(told)))
    assert 30 <= len(told) <= 65


def test_what_hovers_about_a_limit_makes_no_storm() -> None:
    rng = random.Random(3)
    burn = Burn(0.01, START)
    said: list[Alarm | None] = []
    for minute in range(240):
        share = 0.144 if minute % 2 else 0.1
        for _ in range(60):
            t = burn.windows.now + 1
            burn.windows.add(t, 100, sum(rng.random() < share for _ in range(100)))
            said.append(burn.look())
    changes = sum((a is None) != (b is None) for a, b in pairwise(said))
    assert said[-1] is not None
    assert changes <= 3
