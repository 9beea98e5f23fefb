"""CPU time, memory and queues."""

import random

import msgspec
import pytest
from seconds import DESIRED, MB, STATUS, answered, changes, first, rules, run, second, taken, worker

from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.detect.resources import ResourceDetector


def test_cpu_that_the_requests_do_not_explain_is_told() -> None:
    chance = random.Random(1)

    def make(t: int) -> Moment:
        more = 0.7 if 400 <= t < 600 else 0.0
        return second(t, answered(20), used=taken(t, cpu=0.1 + chance.gauss(0, 0.01) + more))

    found = run(ResourceDetector("iris"), 800, make)
    assert 400 <= (first(found, "cpu") or 0) <= 445
    assert changes(found, "cpu") == 2
    assert found[500][0].value == pytest.approx(0.8, abs=0.1)


def test_more_requests_explain_more_cpu() -> None:
    chance = random.Random(2)

    def make(t: int) -> Moment:
        requests = 100 if t >= 500 else 20 + t // 60
        return second(t, answered(requests), used=taken(t, cpu=0.05 + 0.006 * requests + chance.gauss(0, 0.01)))

    assert not rules(run(ResourceDetector("iris"), 800, make))


def test_memory_that_jumps_is_told_but_not_with_more_workers_or_another_version() -> None:
    def jump(t: int, **changes: object) -> Moment:
        return second(t, answered(5), used=taken(t, memory=(150 if t < 300 else 450) * MB, **changes))

    found = run(ResourceDetector("iris"), 400, jump)
    assert 300 <= (first(found, "memory") or 0) <= 335
    assert "450 MB a process; usual are 150 MB" in found[-1][0].text
    more = run(ResourceDetector("iris"), 400, lambda t: jump(t, processes=1 if t < 300 else 3))
    assert not rules(more)
    swapped = msgspec.structs.replace(STATUS, version=2, generation=2)
    other = run(
        ResourceDetector("iris"),
        400,
        lambda t: second(
            t, answered(5), status=STATUS if t < 300 else swapped, used=taken(t, memory=(150 if t < 300 else 450) * MB)
        ),
    )
    assert not rules(other)


def test_a_spike_of_memory_and_the_first_minutes_are_no_fault() -> None:
    spike = run(
        ResourceDetector("iris"),
        600,
        lambda t: second(t, answered(5), used=taken(t, memory=(800 if t % 200 < 10 else 150) * MB)),
    )
    assert not rules(spike)
    warm = run(
        ResourceDetector("iris"),
        110,
        lambda t: second(t, answered(5), used=taken(t, cpu=0.1 if t < 50 else 2.0, memory=(100 + 5 * t) * MB)),
    )
    assert not rules(warm)


def test_workers_that_compute_without_a_pause_while_requests_wait() -> None:
    two = msgspec.structs.replace(STATUS, workers=(worker(1), worker(2)), desired_workers=2)

    def make(t: int, waiting: int = 12) -> Moment:
        return second(t, answered(50), status=two, waiting=waiting, used=taken(t, cpu=1.95, processes=2))

    found = run(ResourceDetector("iris"), 30, make)
    assert first(found, "saturated") == 14
    assert "12 requests wait" in found[-1][0].text
    assert not rules(run(ResourceDetector("iris"), 30, lambda t: make(t, waiting=0)))


def test_a_queue_near_its_limit_is_told_and_critical_when_it_is_full() -> None:
    small = msgspec.structs.replace(DESIRED, settings={"max_queue": 10})

    def make(t: int) -> Moment:
        waiting = 6 if t < 20 else 10 if t < 40 else 6 if t < 60 and t % 2 else 0 if t < 60 else 1
        return second(t, answered(50, refused=4), desired=small, waiting=waiting)

    found = run(ResourceDetector("iris"), 100, make)
    assert first(found, "queue") == 4
    assert found[10][0].severity == "warning"
    assert found[30][0].severity == "critical"
    assert "4 were refused" in found[30][0].text
    assert changes(found, "queue") == 2, "a queue that comes and goes is one fault"


def test_unknown_seconds_change_nothing() -> None:
    found = run(ResourceDetector("iris"), 300, lambda t: second(t, None, used=None if t % 2 else taken(t, processes=0)))
    assert not rules(found)
