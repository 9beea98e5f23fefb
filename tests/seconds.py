"""Moments for detectors: second by second, of a deployment that runs, with what a test says of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from records import make_status, make_version

from autodeploy_magic.contracts import Desired, WorkerState
from autodeploy_magic.health import Finding
from autodeploy_magic.metrics.histogram import bucket
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.detect.base import Answers, Detector, Moment, Reference

START = 1_767_571_200  # Monday, 2026-01-05, 00:00 UTC
MB = 1_000_000
DESIRED = Desired(name="iris", version=1, executable="python")
VERSION = make_version()


def worker(pid: int, **changes: Any) -> WorkerState:
    state = WorkerState(pid=pid, create_time=0.0, boot_id="", generation=1, version=1, ready=True)
    return msgspec.structs.replace(state, **changes)


STATUS = make_status(generation=1, workers=(worker(1),))


def answered(
    requests: int, *, failed: int = 0, refused: int = 0, seconds: float = 0.005, chance: random.Random | None = None
) -> Answers:
    """Requests that took about so long: log-normal by `chance`, all the same without it."""
    if chance is None:
        return Answers(requests, refused, failed, {bucket(seconds): requests} if requests else {})
    latency = Counter(bucket(seconds * chance.lognormvariate(0, 0.5)) for _ in range(requests))
    return Answers(requests, refused, failed, latency)


def taken(t: int, *, cpu: float = 0.2, memory: float = 150 * MB, free: int = 40 << 30, **changes: Any) -> Resources:
    """What one process took in a second."""
    used = Resources(t, 1.0, 1, cpu, int(memory), int(memory), 12, 40, 300 << 20, free)
    return used._replace(**changes)


def second(t: int, answers: Answers | None, **changes: Any) -> Moment:
    """The moment `t` seconds after the start."""
    values: dict[str, Any] = {
        "desired": DESIRED,
        "status": STATUS,
        "version": VERSION,
        "by_version": {1: answers} if answers is not None and answers.requests else {},
        "used": taken(START + t),
    }
    return Moment(t=START + t, name="iris", answers=answers, reference=lambda: Reference({}, {}), **(values | changes))


def seen(detector: Detector, moments: Iterable[Moment]) -> list[list[Finding]]:
    """What the detector finds in each moment."""
    return [list(detector.see(moment)) for moment in moments]


def rules(found: Iterable[Iterable[Finding]]) -> set[str]:
    """Every rule that was told of."""
    return {one.rule for findings in found for one in findings}


def first(found: Iterable[Iterable[Finding]], rule: str) -> int | None:
    """The index of the moment in which it was told of first."""
    return next((i for i, findings in enumerate(found) if any(one.rule == rule for one in findings)), None)


def changes(found: Iterable[Iterable[Finding]], rule: str) -> int:
    """How often it began or ended."""
    there = [any(one.rule == rule for one in findings) for findings in found]
    return sum(a != b for a, b in zip([False, *there], there, strict=False))


def run(detector: Detector, seconds: int, make: Callable[[int], Moment], start: int = 0) -> list[list[Finding]]:
    """`make` each second from `start` on, and see it."""
    return seen(detector, (make(t) for t in range(start, start + seconds)))
