"""Runs detectors over a stream: how long until they tell of its fault, and how often they tell of nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from autodeploy_magic import registry
from autodeploy_magic.health import Finding
from autodeploy_magic.operate.detect.base import Detector, Moment

__all__ = ["Case", "Quiet", "delay", "false_alarms", "made", "thread_cost"]

Stream = Callable[[int], Iterable[Moment]]
"""A seed → the moments, in the order of their time."""


@dataclass(frozen=True)
class Case:
    """A stream with a fault from `change_t` on (seconds since the epoch, or as `counted` counts).

    A finding is a hit where its rule is one of `rules`, or begins with one of them and a colon; another one before the
    change is a false alarm, and the case has failed with that seed. `target` is in `unit`, and compared with the worst
    of the seeds; None has a figure alone. `counted` counts what a delay is told in: requests or labels of a moment;
    without it a delay is in seconds. `detectors` are names of the registry, those that may tell of the fault.
    """

    name: str
    stream: Stream
    change_t: int
    rules: tuple[str, ...]
    detectors: tuple[str, ...]
    target: float | None
    unit: str = "s"
    counted: Callable[[Moment], int] | None = None
    seeds: int = 20


@dataclass(frozen=True)
class Quiet:
    """A stream without a fault, of `days` days. All detectors look at it, or those that are named.

    At most `most` times a day one may begin to tell of something; None has a figure alone.
    """

    name: str
    stream: Stream
    days: float
    detectors: tuple[str, ...] = ()
    most: float | None = 1.0


def made(names: Iterable[str] = ()) -> dict[str, Detector]:
    """Fresh detectors of those names, all of the registry where none is named."""
    table = registry.table("detectors")
    return {name: registry.load(table[name])("bench") for name in names or table}


def delay(case: Case, seed: int) -> float | None:
    """How long the fault was there when it was told of; None where it never was, or something was told of before."""
    detectors = made(case.detectors)
    passed = 0
    for moment in case.stream(seed):
        after = moment.t >= case.change_t
        if after:
            passed += case.counted(moment) if case.counted is not None else 1
        hits = [one for one in _found(detectors, moment) if _is_hit(case, one)]
        if hits:
            return float(passed) if after else None
    return None


def false_alarms(quiet: Quiet, seed: int) -> Counter[str]:
    """How often each rule began to be told of."""
    detectors = made(quiet.detectors)
    alarms: Counter[str] = Counter()
    before: set[str] = set()
    for moment in quiet.stream(seed):
        now = {one.rule for one in _found(detectors, moment)}
        alarms.update(now - before)
        before = now
    return alarms


def thread_cost(streams: list[list[Moment]], names: Iterable[str] = ()) -> dict[str, float]:
    """Seconds of CPU that each detector takes for one moment, over several deployments that are watched in turn."""
    deployments = [made(names) for _ in streams]
    spent: Counter[str] = Counter()
    count = 0
    for together in zip(*streams, strict=True):
        for detectors, moment in zip(deployments, together, strict=True):
            count += 1
            for name, detector in detectors.items():
                began = time.thread_time()
                list(detector.see(moment))
                spent[name] += time.thread_time() - began  # type: ignore[assignment]  # a Counter adds floats as well
    return {name: seconds / count for name, seconds in spent.items()}


def _found(detectors: dict[str, Detector], moment: Moment) -> Iterator[Finding]:
    for detector in detectors.values():
        yield from detector.see(moment)


def _is_hit(case: Case, finding: Finding) -> bool:
    return any(finding.rule == rule or finding.rule.startswith(f"{rule}:") for rule in case.rules)
