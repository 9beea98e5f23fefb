"""Ours beside river's detectors, on the same streams: what each is told, how soon it tells, and what it costs.

Each has the settings that told of nothing in a day of the daily cycle, or of the least, and else of the fault soonest.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from serving.report import grid

from autodeploy_magic import registry
from autodeploy_magic.metrics.histogram import GAMMA
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.detect.errors import ErrorDetector
from autodeploy_magic.operate.detect.latency import LatencyDetector
from detect.streams import DAY_S, Scene, daily, moments

__all__ = ["compare"]

CHANGE_S, LONG_S = 900, 1140
Told = Callable[[Moment], bool]


def compare(seeds: int) -> int:
    """Print the table."""
    for what, scene, entrants in (
        ("latency ×2 at 10 requests/s", Scene(LONG_S, 10, change_s=CHANGE_S, slower=2.0), LATENCY),
        ("errors 0 → 2 % at 100 requests/s", Scene(LONG_S, 100, change_s=CHANGE_S, failing=0.0, fails=0.02), ERRORS),
    ):
        streams = [list(moments(scene, seed)) for seed in range(seeds)]
        day = list(moments(replace(scene, seconds=DAY_S, shape=daily, change_s=0, failing=0.0002), 1))
        lines = [line(name, entrant, streams, day) for name, entrant in entrants.items()]
        print(grid([what, "told", "median s", "worst s", "false alarms a day", "µs a second"], lines), "\n", flush=True)
    return 0


def line(name: str, entrant: Callable[[], Told], streams: list[list[Moment]], day: list[Moment]) -> list[str]:
    delays = [first(entrant(), stream) for stream in streams]
    told = [one for one in delays if one > 0]
    began = time.thread_time()
    alarms = sum(risen(entrant(), day))
    cost = (time.thread_time() - began) / len(day) * 1e6
    middle = f"{statistics.median(told):.0f}" if told else "-"
    worst = f"{max(told):.0f}" if len(told) == len(delays) else "-"
    return [name, f"{len(told)} of {len(delays)}", middle, worst, str(alarms), f"{cost:.0f}"]


def first(told: Told, stream: Iterable[Moment]) -> int:
    """Seconds from the change on; 0 where nothing was told, or something before."""
    for second, moment in enumerate(stream, 1):
        if told(moment):
            return max(0, second - CHANGE_S)
    return 0


def risen(told: Told, stream: Iterable[Moment]) -> Iterator[bool]:
    before = False
    for moment in stream:
        now = told(moment)
        yield now and not before
        before = now


def ours(kind: Callable[[str], Any]) -> Callable[[], Told]:
    def make() -> Told:
        detector = kind("bench")
        return lambda moment: bool(list(detector.see(moment)))

    return make


def level(moment: Moment) -> float | None:
    """The mean of the logarithms of the second's latencies."""
    answers = moment.answers
    if answers is None or not answers.requests:
        return None
    return sum(i * n for i, n in answers.latency.items()) / answers.requests * math.log(GAMMA)


def of_level(module: str, name: str, **settings: Any) -> Callable[[], Told]:
    """One of river's, told the level of each second."""

    def make() -> Told:
        detector = getattr(registry.need(module, "this comparison"), name)(**settings)

        def told(moment: Moment) -> bool:
            value = level(moment)
            if value is None:
                return False
            before = getattr(detector, "estimation", 0.0)
            detector.update(value)
            rose = getattr(detector, "estimation", 0.0) >= before
            return bool(detector.drift_detected) and rose

        return told

    return make


def trees(limit: float) -> Callable[[], Told]:
    """Half-space trees over the level, the requests and the CPU time of each second, five seconds above `limit`."""

    def make() -> Told:
        anomaly = registry.need("river.anomaly", "this comparison")
        preprocessing = registry.need("river.preprocessing", "this comparison")
        scaler, detector = preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(n_trees=25, height=8, seed=1)
        above = 0

        def told(moment: Moment) -> bool:
            nonlocal above
            value = level(moment)
            if value is None or moment.answers is None or moment.used is None:
                return False
            features = {"level": value, "rate": float(moment.answers.requests), "cpu": moment.used.cpu_s}
            scaler.learn_one(features)
            scaled = scaler.transform_one(features)
            above = above + 1 if detector.score_one(scaled) > limit else 0
            detector.learn_one(scaled)
            return above >= 5

        return told

    return make


def adwin_of_answers(**settings: Any) -> Callable[[], Told]:
    """ADWIN, told of each answer whether it failed."""

    def make() -> Told:
        detector = registry.need("river.drift", "this comparison").ADWIN(**settings)

        def told(moment: Moment) -> bool:
            assert moment.answers is not None
            found = False
            for answer in range(moment.answers.requests):
                before = detector.estimation
                detector.update(1.0 if answer < moment.answers.failed else 0.0)
                found |= bool(detector.drift_detected) and detector.estimation >= before
            return found

        return told

    return make


def page_of_shares(**settings: Any) -> Callable[[], Told]:
    """Page-Hinkley, told the share of each second that failed."""

    def make() -> Told:
        detector = registry.need("river.drift", "this comparison").PageHinkley(mode="up", **settings)

        def told(moment: Moment) -> bool:
            assert moment.answers is not None
            if moment.answers.requests:
                detector.update(moment.answers.failed / moment.answers.requests)
            return bool(detector.drift_detected)

        return told

    return make


LATENCY: dict[str, Callable[[], Told]] = {
    "latency.py (cumulative sum)": ours(LatencyDetector),
    "river PageHinkley, delta 0.2, threshold 4": of_level(
        "river.drift", "PageHinkley", mode="up", delta=0.2, threshold=4.0, alpha=1.0
    ),
    "river PageHinkley, delta 0.35, threshold 4": of_level(
        "river.drift", "PageHinkley", mode="up", delta=0.35, threshold=4.0, alpha=1.0
    ),
    "river ADWIN, delta 0.002": of_level("river.drift", "ADWIN", delta=0.002, clock=1),
    "river ADWIN, delta 1e-7": of_level("river.drift", "ADWIN", delta=1e-7, clock=1),
    "river HalfSpaceTrees, 0.9": trees(0.9),
    "river HalfSpaceTrees, 0.97": trees(0.97),
}
ERRORS: dict[str, Callable[[], Told]] = {
    "errors.py (cumulative sum)": ours(ErrorDetector),
    "river ADWIN, delta 0.002": adwin_of_answers(delta=0.002),
    "river ADWIN, delta 1e-7": adwin_of_answers(delta=1e-7),
    "river PageHinkley, delta 0.005, threshold 0.1": page_of_shares(delta=0.005, threshold=0.1, alpha=1.0),
}
