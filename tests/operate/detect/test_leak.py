"""Memory that only grows."""

import math
import random

import msgspec
import pytest
from seconds import DESIRED, MB, STATUS, answered, first, rules, run, second, taken, worker

from autodeploy_magic.health import ObjectiveState
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.detect.leak import LeakDetector


def memory_of(level, seed: int = 1, **changes: object):
    chance = random.Random(seed)

    def make(t: int) -> Moment:
        return second(t, answered(20), used=taken(t, memory=level(t) + chance.gauss(0, 0.3 * MB)), **changes)

    return make


def sawtooth(t: int) -> float:
    return 150 * MB + 30 * MB * (t % 80) / 80


def test_a_megabyte_a_second_is_told_within_two_minutes() -> None:
    objective = ObjectiveState(text="memory<500MB", metric="memory", state="met", limit=500 * MB)
    make = memory_of(lambda t: sawtooth(t) + max(0, t - 400) * MB, objectives=(objective,))
    found = run(LeakDetector("iris"), 560, make)
    told = first(found, "leak")
    assert told is not None
    assert 400 <= told <= 520
    (finding,) = found[-1]
    assert finding.value == pytest.approx(1e6, rel=0.3)
    assert "a second" in finding.text
    assert "it reaches its objective of 500 MB in" in finding.text
    assert finding.severity == "critical", "it is three minutes away"


def test_it_ends_when_memory_stays_where_it_is_or_the_worker_is_replaced() -> None:
    def stays(t: int) -> float:
        return 150 * MB + min(max(0, t - 200), 150) * MB

    found = run(LeakDetector("iris"), 700, memory_of(stays))
    assert found[340]
    assert not found[-1]
    detector = LeakDetector("iris")
    assert run(detector, 340, memory_of(stays))[-1]
    fresh = msgspec.structs.replace(STATUS, workers=(worker(2),))
    assert not rules(run(detector, 100, memory_of(lambda t: 150 * MB, status=fresh), start=340))


@pytest.mark.parametrize(
    "level",
    [
        sawtooth,
        lambda t: 150 * MB + 100 * MB * (t % 300) / 300 + 100 * MB * (t < 300) * (1 - t / 300),
        lambda t: 100 * MB + 200 * MB * (1 - math.exp(-t / 60)),  # a warm-up, or a cache that fills
        lambda t: 150 * MB + 60 * MB * (t > 500),  # one step
        lambda t: 150 * MB + 30 * MB * math.sin(t / 120),
    ],
    ids=["garbage collector", "a large one", "levels off", "a step", "comes and goes"],
)
def test_what_falls_back_or_levels_off_is_no_leak(level) -> None:
    assert not rules(run(LeakDetector("iris"), 1500, memory_of(level)))


def test_more_workers_and_another_version_are_no_leak() -> None:
    def make(t: int) -> Moment:
        workers = tuple(worker(pid) for pid in range(1, 2 + t // 20))
        status = msgspec.structs.replace(STATUS, workers=workers)
        return second(t, answered(5), status=status, used=taken(t, memory=150 * MB * len(workers)))

    assert not rules(run(LeakDetector("iris"), 400, make))


def test_nothing_is_told_of_the_first_minute_and_a_half() -> None:
    assert not rules(run(LeakDetector("iris"), 95, memory_of(lambda t: (100 + 2 * t) * MB)))


def test_ten_megabytes_an_hour_are_told_within_hours() -> None:
    detector = LeakDetector("iris")
    chance = random.Random(3)

    def make(t: int) -> Moment:
        memory = 150 * MB + 10 * MB * t / 3600 + chance.gauss(0, 0.3 * MB)
        return second(t, answered(20), used=taken(t, memory=memory))

    found = [list(detector.see(make(t))) for t in range(0, 8 * 3600, 3)]
    told = first(found, "leak")
    assert told is not None
    assert 4 * 3600 < told * 3 < 7 * 3600
    assert found[-1], "it does not come and go"
    assert found[-1][0].value == pytest.approx(10e6 / 3600, rel=0.2)


def test_an_objective_that_the_person_gave_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    given = msgspec.structs.replace(DESIRED, slo="memory<400MB")
    found = run(LeakDetector("iris"), 300, memory_of(lambda t: 150 * MB + max(0, t - 150) * MB, desired=given))
    assert "of 400 MB" in found[-1][0].text


def test_unknown_and_absent_processes_change_nothing() -> None:
    found = run(
        LeakDetector("iris"),
        400,
        lambda t: second(t, None, used=None if t % 2 else taken(t, memory=t * MB, processes=0)),
    )
    assert not rules(found)
