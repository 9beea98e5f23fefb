"""Answers take longer than usual, with no objective given: the typical one, or the slowest hundredth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from autodeploy_magic.health import Finding
from autodeploy_magic.metrics.histogram import GAMMA, Histogram, quantile
from autodeploy_magic.operate.detect.base import About, Answers, Moment
from autodeploy_magic.operate.detect.holding import Clock
from autodeploy_magic.operate.detect.shift import Shift

__all__ = ["LatencyDetector"]

RISE = math.log(2)
"""What is looked for: twice as long. A level half way there (1.4 times as long) is passed over."""
TAIL_REQUESTS, TAIL_S, TAIL_OLD_S = 300, 5.0, 60.0
"""A 99th percentile is of so many requests and seconds at least, and of a minute at most."""
VERSIONS = 8
_LOG_GAMMA = math.log(GAMMA)


class _Version:
    """What is usual of one version. Its logarithms of seconds have the variance `chance` from one answer to another."""

    def __init__(self) -> None:
        self.typical = Shift(RISE)
        self.tail = Shift(RISE, memory=200, warm=40, follow=3)
        self.chance = 0.25
        self._block: Counter[int] = Counter()
        self._block_s = 0.0

    def see(self, passed_s: float, histogram: Histogram) -> None:
        count = total = squares = 0
        for index, answers in histogram.items():
            count += answers
            total += index * answers
            squares += index * index * answers
        if not count:
            return
        mean = total / count
        if count >= 5:
            within = (squares / count - mean * mean) * count / (count - 1) * _LOG_GAMMA**2
            self.chance += min(count, 20) / 1000 * (min(within, 4 * self.chance + 0.01) - self.chance)
        self.typical.see(passed_s, mean * _LOG_GAMMA, self.chance / count)
        self._see_tail(passed_s, histogram)

    def _see_tail(self, passed_s: float, histogram: Histogram) -> None:
        block = self._block
        for index, answers in histogram.items():
            block[index] += answers
        self._block_s += passed_s
        if self._block_s < TAIL_S:
            return
        if block.total() >= TAIL_REQUESTS:
            p99 = quantile(block, 0.99)
            assert p99 is not None
            self.tail.see(self._block_s, math.log(p99))
        elif self._block_s < TAIL_OLD_S:
            return
        self._block, self._block_s = Counter(), 0.0


class LatencyDetector:
    """Compares each version with itself."""

    about = About(
        help="answers take longer than what is usual for the version: the typical one, or the slowest hundredth",
        defaults="twice as long (1.4 times is passed over); after 2 minutes with requests; usual: the last 10 minutes "
        "of them; over when within 1.2 times for 15 s; a new level is usual after 1 hour",
        detects="twice as long: 7 s at 10 requests/s and more, 24 s at 1 request/s",
        cost="27 µs at 100 requests/s",
    )

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._versions: dict[int, _Version] = {}

    def see(self, moment: Moment) -> Iterator[Finding]:
        passed_s = self._clock.tick(moment.t)
        if moment.answers is not None:
            self._learn(passed_s, moment.by_version or {moment.status.version: moment.answers})
        for number, version in self._versions.items():
            rule = "latency" if number == moment.status.version else f"latency:{number}"
            if version.typical.on:
                yield _finding(rule, "p50", number, version.typical, "Answers take")
            elif version.tail.on:
                yield _finding(f"{rule}:tail", "p99", number, version.tail, "The slowest 1 % of answers take")

    def _learn(self, passed_s: float, by_version: dict[int, Answers]) -> None:
        for number, answers in by_version.items():
            if not answers.requests:
                continue
            version = self._versions.pop(number, None) or _Version()
            self._versions[number] = version  # the last that answered is the last of them
            version.see(passed_s, answers.latency)
        while len(self._versions) > VERSIONS:
            del self._versions[next(iter(self._versions))]


def _finding(rule: str, metric: str, number: int, shift: Shift, words: str) -> Finding:
    now, usual = math.exp(shift.now), math.exp(shift.usual)
    return Finding(
        rule=rule,
        detector="latency",
        metric=metric,
        severity="warning",
        text=f"{words} {_duration(now)}, {now / usual:.1f} times the usual {_duration(usual)} (version {number})",
        value=now,
        limit=usual * math.exp(RISE / 2),
        version=number,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
