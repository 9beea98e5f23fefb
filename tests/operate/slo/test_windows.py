"""Windows against a plain list of every second there was."""

from __future__ import annotations

import random

import pytest

from autodeploy_magic.operate.slo.windows import PERIOD_S, Counted, Windows

START = 1_800_000_017  # no minute's first second


def plain(kept: list[tuple[int, int, int]], now: int, seconds: int) -> Counted:
    """Of (second, events, bad): what the last `seconds` had."""
    inside = [row for row in kept if now - seconds < row[0] <= now]
    events, bad = sum(row[1] for row in inside), sum(row[2] for row in inside)
    return Counted(events, bad, sum(row[1] > 0 for row in inside), sum(row[2] > 0 for row in inside))


def test_seconds_are_exact_and_gaps_had_nothing() -> None:
    rng = random.Random(1)
    windows, kept, t = Windows(START), [], START - 1
    for _ in range(700):
        t += rng.choice([1] * 20 + [2, 7, 100, 400])
        if rng.random() < 0.05:
            windows.skip(t)
            continue
        events = rng.choice([0, 1, 10])
        kept.append((t, events, rng.randint(0, events)))
        windows.add(*kept[-1])
        for seconds in (1, 5, 15, 60, 300, 359):
            assert windows.over(seconds) == plain(kept, t, seconds)
    assert windows.over(10**9) == plain(kept, t, 10**9)


@pytest.mark.parametrize(("seconds", "step"), [(1800, 60), (3600, 60), (6 * 3600, 60), (PERIOD_S, 3600)])
def test_longer_ones_are_exact_to_their_step(seconds: int, step: int) -> None:
    windows = Windows(START)
    for t in range(START, START + PERIOD_S + 7200, 13):
        windows.add(t, 13, 1)
    assert seconds - step - 13 <= windows.over(seconds).events <= seconds + 13


def test_it_is_never_longer_than_what_is_known() -> None:
    windows = Windows(START)
    assert windows.over(60) == Counted(0, 0, 0, 0)
    windows.add(START, 5, 1)
    windows.add(START + 1, 5, 0)
    assert windows.age_s == 2
    assert windows.over(60) == windows.over(PERIOD_S) == Counted(10, 1, 2, 1)


def test_a_clock_that_is_set_back_counts_nothing_twice() -> None:
    windows = Windows(START)
    windows.add(START + 5, 10, 1)
    windows.add(START + 3, 10, 1)
    windows.add(START + 5, 10, 1)
    assert windows.over(60).events == 10


def test_a_whole_minute_may_be_told_at_once() -> None:
    windows = Windows(START - 600)
    for minute in range(10):
        windows.add(START - 600 + 60 * minute + 59, 100, 3, 40, 2)
    assert windows.over(600) == Counted(1000, 30, 400, 20)
