"""Latency against what is usual of a version."""

import random

import pytest
from seconds import answered, changes, first, rules, run, second

from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.detect.latency import LatencyDetector


def traffic(rate: int, change: int = 10**9, factor: float = 2.0, seed: int = 1, until: int = 10**9):
    chance = random.Random(seed)

    def make(t: int) -> Moment:
        slow = factor if change <= t < until else 1.0
        return second(t, answered(rate, seconds=0.005 * slow * chance.lognormvariate(0, 0.05), chance=chance))

    return make


@pytest.mark.parametrize("rate", [5, 50])
def test_twice_as_slow_is_told_within_half_a_minute_and_names_the_version(rate: int) -> None:
    found = run(LatencyDetector("iris"), 360, traffic(rate, change=300))
    told = first(found, "latency")
    assert told is not None
    assert 300 <= told <= 330
    (finding,) = found[340]
    assert (finding.metric, finding.version, finding.severity) == ("p50", 1, "warning")
    assert finding.value == pytest.approx(0.010, rel=0.15)
    assert "times the usual" in finding.text


def test_noise_spikes_and_a_fifth_more_are_no_fault() -> None:
    chance = random.Random(2)

    def make(t: int) -> Moment:
        spike = 10.0 if t % 150 in (0, 1) else 1.2 if t > 400 else 1.0
        return second(t, answered(30, seconds=0.005 * spike, chance=chance))

    assert not rules(run(LatencyDetector("iris"), 700, make))


def test_it_ends_once_with_the_fault_and_does_not_flap_at_the_limit() -> None:
    found = run(LatencyDetector("iris"), 600, traffic(30, change=300, until=400))
    assert changes(found, "latency") == 2
    assert "latency" not in rules(found[440:])
    assert not rules(found[480:])
    at_the_limit = run(LatencyDetector("iris"), 1200, traffic(30, change=300, factor=1.45))
    assert changes(at_the_limit, "latency") <= 1


def test_nothing_is_told_in_the_warm_up_and_a_fresh_detector_begins_anew() -> None:
    make = traffic(30, change=60, factor=3.0)
    assert not rules(run(LatencyDetector("iris"), 110, make))
    restarted = run(LatencyDetector("iris"), 300, make, start=120)
    assert not rules(restarted), "what was slow from its first second on is what it knows"


def test_a_slow_tail_is_told_apart() -> None:
    chance = random.Random(3)

    def make(t: int) -> Moment:
        answers = answered(100, chance=chance)
        if t >= 400:
            top = max(answers.latency)
            answers.latency = dict(answers.latency) | {top + 110: 4}  # nine times as long
            answers.requests += 4
        return second(t, answers)

    found = run(LatencyDetector("iris"), 480, make)
    assert rules(found) == {"latency:tail"}
    assert 400 <= (first(found, "latency:tail") or 0) <= 460


def test_another_version_is_compared_with_itself_alone() -> None:
    chance = random.Random(4)

    def make(t: int) -> Moment:
        fast, slow = answered(20, chance=chance), answered(20, seconds=0.02, chance=chance)
        return second(t, answered(40), by_version={1: fast, 2: slow} if t > 200 else {1: fast})

    assert not rules(run(LatencyDetector("iris"), 600, make))


def test_unknown_and_empty_seconds_change_nothing() -> None:
    chance = random.Random(5)

    def make(t: int) -> Moment:
        return second(t * 7, answered(50, chance=chance) if t % 3 == 0 else None if t % 3 == 1 else answered(0))

    assert not rules(run(LatencyDetector("iris"), 600, make))
