"""Requests that stop coming, or come like never before."""

import math
import random

import msgspec
from seconds import DESIRED, START, STATUS, answered, changes, first, rules, run, second, seen, taken

from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.detect.rate import RateDetector

HALF_HOUR = 1900


def poisson(chance: random.Random, mean: float) -> int:
    """Knuth's way."""
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def traffic(rate: float, change: int = 10**9, factor: float = 0.0, until: int = 10**9):
    chance = random.Random(1)

    def make(t: int) -> Moment:
        return second(t, answered(poisson(chance, rate * (factor if change <= t < until else 1.0))))

    return make


def test_a_drop_to_nothing_is_told_within_15_s_and_ends_when_they_come_again() -> None:
    make = traffic(5, change=HALF_HOUR, until=HALF_HOUR + 60)
    found = run(RateDetector("iris"), HALF_HOUR + 120, make)
    told = first(found, "rate")
    assert told is not None
    assert HALF_HOUR <= told <= HALF_HOUR + 15
    assert changes(found, "rate") == 2
    assert "usual are 4.9" in found[HALF_HOUR + 30][0].text


def test_a_tenth_of_the_usual_is_silence_and_half_of_it_is_not() -> None:
    assert "rate" in rules(run(RateDetector("iris"), HALF_HOUR + 60, traffic(40, HALF_HOUR, factor=0.02)))
    assert not rules(run(RateDetector("iris"), HALF_HOUR + 300, traffic(40, HALF_HOUR, factor=0.4)))


def test_who_tries_it_out_and_stops_is_not_reported() -> None:
    assert not rules(run(RateDetector("iris"), 1200, traffic(20, change=600)))
    rare = run(RateDetector("iris"), 4000, lambda t: second(t, answered(30 if t % 400 < 20 else 0)))
    assert not rules(rare)


def test_pauses_that_a_client_always_makes_are_usual() -> None:
    def make(t: int) -> Moment:  # a job that runs each minute for twenty seconds
        return second(t, answered(10 if t % 60 < 20 and t < 5000 else 0))

    found = run(RateDetector("iris"), 5300, make)
    told = first(found, "rate")
    assert told is not None, "it stays away"
    assert told > 5000 + 60


def test_the_end_of_a_day_is_usual_on_the_second_day() -> None:
    def make(t: int) -> Moment:  # from 8 to 18 o'clock, each 20th second looked at closely
        return second(t, answered(20 if 8 * 3600 <= t % 86400 < 18 * 3600 else 0))

    detector = RateDetector("iris")
    quick = [t for t in range(2 * 86400) if t % 86400 // 900 in (69, 70, 71, 72, 73) or t % 3 == 0]
    found = seen(detector, map(make, quick))
    told = {START + t for t, findings in zip(quick, found, strict=True) if findings}
    assert told, "on the first day nobody can know"
    assert max(told) < START + 86400


def test_a_deployment_that_is_stopped_or_a_full_disk_is_no_lack_of_requests() -> None:
    detector = RateDetector("iris")
    run(detector, HALF_HOUR, traffic(20))
    stopped = msgspec.structs.replace(DESIRED, state="stopped")
    assert not rules(run(detector, 60, lambda t: second(t, answered(0), desired=stopped), HALF_HOUR))
    detector = RateDetector("iris")
    run(detector, HALF_HOUR, traffic(20))
    assert not rules(run(detector, 60, lambda t: second(t, answered(0), used=taken(t, free=0)), HALF_HOUR))
    failed = msgspec.structs.replace(STATUS, state="failed")
    assert not rules(run(detector, 60, lambda t: second(t, answered(0), status=failed), HALF_HOUR + 60))


def test_a_flood_is_told_and_a_burst_as_before_is_not() -> None:
    make = traffic(10, change=HALF_HOUR, factor=8.0)
    found = run(RateDetector("iris"), HALF_HOUR + 60, make)
    assert first(found, "rate:flood") in range(HALF_HOUR + 8, HALF_HOUR + 30)
    bursts = run(RateDetector("iris"), 4000, lambda t: second(t, answered(100 if t % 600 < 60 else 10)))
    assert not rules(bursts)


def test_what_nobody_saw_is_no_silence() -> None:
    detector = RateDetector("iris")
    make = traffic(20)
    run(detector, HALF_HOUR, make)
    assert not rules(run(detector, 300, lambda t: second(t, None), HALF_HOUR))
    assert not rules(run(detector, 300, make, HALF_HOUR + 5000))
