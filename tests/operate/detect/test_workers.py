"""Workers that are missing, crash, or are there and do not answer."""

import msgspec
import pytest
from seconds import DESIRED, STATUS, answered, changes, first, rules, run, second, seen, taken, worker

from autodeploy_magic.operate.detect.base import Moment, WorkerSight
from autodeploy_magic.operate.detect.workers import WorkerDetector

FINE = WorkerSight(pid=7, version=1, age_s=100.0)


def sights(*each: WorkerSight, t: int = 0, **changes: object) -> Moment:
    return second(t, answered(0), workers=each, **changes)


def test_a_stopped_worker_is_told_at_the_second_sight_and_ends_when_it_runs() -> None:
    stopped = FINE._replace(stopped=True)
    found = run(WorkerDetector("iris"), 10, lambda t: sights(stopped if 2 <= t < 6 else FINE, t=t))
    assert first(found, "worker:7") == 3
    assert not found[-1]
    assert changes(found, "worker:7") == 2
    (finding,) = found[4]
    assert (finding.worker, finding.severity, finding.version) == (7, "critical", 1)
    assert "SIGSTOP" in finding.text


def test_one_glimpse_of_a_stopped_worker_is_not_enough() -> None:
    stopped = FINE._replace(stopped=True)
    assert not rules(run(WorkerDetector("iris"), 10, lambda t: sights(stopped if t == 4 else FINE, t=t)))
    assert not rules(seen(WorkerDetector("iris"), [sights(FINE, t=0), sights(stopped, t=2)]))


def test_a_deadlocked_worker_is_told_after_three_seconds_of_silence_without_cpu() -> None:
    def make(t: int) -> Moment:
        return sights(FINE._replace(silent_s=float(t), idle_s=float(t)), t=t)

    found = run(WorkerDetector("iris"), 6, make)
    assert first(found, "worker:7") == 3
    assert "takes no CPU time" in found[4][0].text


def test_a_busy_worker_has_as_long_as_a_request_may_take_and_half_as_long_again() -> None:
    def make(t: int) -> Moment:
        return sights(FINE._replace(silent_s=float(t)), t=t)

    assert first(run(WorkerDetector("iris"), 60, make), "worker:7") == 45
    short = msgspec.structs.replace(DESIRED, settings={"request_timeout_s": 2.0})
    found = run(WorkerDetector("iris"), 60, lambda t: sights(FINE._replace(silent_s=float(t)), t=t, desired=short))
    assert first(found, "worker:7") == 10
    held = run(WorkerDetector("iris"), 60, lambda t: sights(FINE._replace(held_s=float(t)), t=t, desired=short))
    assert first(held, "worker:7") == 10
    assert "request under way" in held[-1][0].text


def test_a_slow_machine_is_given_time_and_a_worker_that_answers_late_is_healthy() -> None:
    def starved(t: int) -> Moment:
        return sights(
            FINE._replace(silent_s=float(t % 8), idle_s=float(t % 8)), t=t, used=taken(t, span_s=2.5, cpu=0.0)
        )

    assert not rules(run(WorkerDetector("iris"), 100, starved))
    gaps = [sights(FINE._replace(silent_s=8.0, idle_s=8.0), t=t) for t in range(0, 100, 6)]
    assert not rules(seen(WorkerDetector("iris"), gaps))
    late = run(WorkerDetector("iris"), 200, lambda t: sights(FINE._replace(silent_s=float(t % 30)), t=t))
    assert not rules(late)


def test_all_of_several_workers_at_once_are_given_time_and_one_of_them_is_not() -> None:
    silent = FINE._replace(silent_s=5.0, idle_s=5.0)
    all_of_them = run(WorkerDetector("iris"), 5, lambda t: sights(silent, silent._replace(pid=8), t=t))
    assert not rules(all_of_them)
    one = run(WorkerDetector("iris"), 5, lambda t: sights(silent, FINE._replace(pid=8), t=t))
    assert rules(one) == {"worker:7"}
    forever = silent._replace(silent_s=9.5, idle_s=9.5)
    assert rules(run(WorkerDetector("iris"), 5, lambda t: sights(forever, forever._replace(pid=8), t=t)))


def test_a_replaced_worker_is_forgotten() -> None:
    stopped = FINE._replace(stopped=True)
    found = run(WorkerDetector("iris"), 10, lambda t: sights(stopped if t < 5 else FINE._replace(pid=9), t=t))
    assert found[4]
    assert not found[5]


@pytest.mark.parametrize(("state", "severity"), [("failed", "critical"), ("degraded", "warning")])
def test_missing_workers_are_told_with_their_reason(state: str, severity: str) -> None:
    there = (worker(1),) if state == "degraded" else ()
    status = msgspec.structs.replace(
        STATUS, state=state, workers=there, desired_workers=2, reason="ImportError: no module\nmore"
    )
    found = run(WorkerDetector("iris"), 20, lambda t: second(t, answered(0), status=status))
    (finding,) = found[-1]
    assert (finding.rule, finding.severity) == ("workers", severity)
    assert "ImportError: no module" in finding.text
    assert "more" not in finding.text
    assert first(found, "workers") == (0 if state == "failed" else 4)


def test_a_worker_that_is_replaced_at_once_and_a_deployment_that_is_stopped_are_no_fault() -> None:
    short = msgspec.structs.replace(STATUS, state="degraded", workers=(), desired_workers=1)
    found = run(WorkerDetector("iris"), 100, lambda t: second(t, answered(0), status=short if t % 10 == 0 else STATUS))
    assert not rules(found)
    stopped = msgspec.structs.replace(DESIRED, state="stopped")
    assert not rules(run(WorkerDetector("iris"), 20, lambda t: second(t, answered(0), status=short, desired=stopped)))
