"""Requests that fail."""

import random

import msgspec
import pytest
from seconds import STATUS, answered, changes, first, rules, run, second

from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.detect.errors import ErrorDetector
from autodeploy_magic.reservoir import Recorded


def traffic(rate: int, share: float, change: int = 0, until: int = 10**9, before: float = 0.0, seed: int = 1):
    chance = random.Random(seed)

    def make(t: int) -> Moment:
        now = share if change <= t < until else before
        return second(t, answered(rate, failed=sum(chance.random() < now for _ in range(rate))))

    return make


@pytest.mark.parametrize(("rate", "share", "within_s"), [(100, 0.02, 15), (10, 0.1, 20), (1, 0.5, 25)])
def test_errors_are_told_soon(rate: int, share: float, within_s: int) -> None:
    found = run(ErrorDetector("iris"), 300, traffic(rate, share, change=200))
    told = first(found, "errors")
    assert told is not None
    assert 200 <= told <= 200 + within_s


def test_it_says_how_many_of_which_version_and_which_request_shows_it() -> None:
    failed = Recorded("abc123", 1.0, 2, 500, 0.01, 1, (0,), [[1.0]], {}, error="ValueError: no")
    fine = failed._replace(id="fine", status=200)

    def make(t: int) -> Moment:
        bad, good = answered(10, failed=5), answered(40)
        return second(t, answered(50, failed=5), by_version={1: good, 2: bad}, recorded=(failed, fine))

    (finding,) = run(ErrorDetector("iris"), 40, make)[-1]
    assert (finding.request, finding.version, finding.metric) == ("abc123", 2, "errors")
    assert finding.severity == "critical"
    assert finding.value == pytest.approx(0.1)
    assert "150 of 1500" in finding.text


def test_a_few_failures_one_bad_second_and_a_usual_share_are_no_fault() -> None:
    assert not rules(run(ErrorDetector("iris"), 600, traffic(100, 0.001)))
    once = run(ErrorDetector("iris"), 300, lambda t: second(t, answered(100, failed=20 if t == 150 else 0)))
    assert not rules(once)
    four = run(ErrorDetector("iris"), 300, lambda t: second(t, answered(1, failed=1 if t in (5, 9, 13, 17) else 0)))
    assert not rules(four)


def test_a_deployment_that_always_fails_is_told_of_at_once() -> None:
    assert (first(run(ErrorDetector("iris"), 20, lambda t: second(t, answered(1, failed=1))), "errors") or 99) <= 8


def test_it_ends_when_they_stop_or_nobody_asks_and_does_not_flap() -> None:
    found = run(ErrorDetector("iris"), 600, traffic(50, 0.05, change=100, until=300, before=0.0))
    assert changes(found, "errors") == 2
    assert not found[-1]
    near = run(ErrorDetector("iris"), 1500, traffic(50, 0.012, change=100, before=0.0))
    assert changes(near, "errors") <= 3
    detector = ErrorDetector("iris")
    run(detector, 20, lambda t: second(t, answered(10, failed=10)))
    silent = run(detector, 300, lambda t: second(t, answered(0)), start=20)
    assert silent[60], "nobody knows yet whether it is over"
    assert not silent[-1]


def test_refused_requests_do_not_count() -> None:
    assert not rules(run(ErrorDetector("iris"), 100, lambda t: second(t, answered(10, refused=10))))


def test_unknown_seconds_keep_what_is_known() -> None:
    detector = ErrorDetector("iris")
    run(detector, 20, lambda t: second(t, answered(10, failed=10)))
    assert all(run(detector, 30, lambda t: second(t, None, status=msgspec.structs.replace(STATUS)), start=20))
