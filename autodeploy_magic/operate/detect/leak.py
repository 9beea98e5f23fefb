"""Memory that only grows: fast within a minute, slowly over hours.

The slope is Theil's and Sen's (the median of the slopes between all pairs of points: P. K. Sen, "Estimates of the
regression coefficient based on Kendall's tau", JASA 1968), and that it grows at all is Mann's and Kendall's test of the
same pairs. What grows and levels off, or falls back again, is no leak: the growth has to go on in the last third
of the time as it did in the first, and onto ground where memory has not been in the last hours.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from autodeploy_magic.health import Finding
from autodeploy_magic.operate.detect.base import About, Moment
from autodeploy_magic.operate.detect.holding import Clock

__all__ = ["LeakDetector"]

POINTS = 24
TREND = 5.0
"""How many standard deviations Kendall's statistic is from what chance gives."""
AS_FAST = 0.75
"""The last third grows at least so fast, as a share of the first."""
SETTLE_S = 90.0
"""What workers take in their first seconds is no leak."""
OFF_S = 60.0
"""It is told of for so long, and for four points at least, after a window said so last."""
MORE_REQUESTS = 1.3
CRITICAL_S = 1800.0


class Window(NamedTuple):
    """A time, and how much memory has to grow in it: less could be anything."""

    step_s: float
    least_bytes: float


WINDOWS = (Window(2.5, 42e6), Window(6.0, 64e6), Window(30.0, 64e6), Window(150.0, 48e6), Window(900.0, 48e6))
"""Of `POINTS` points each: 1, 2.4 and 12 minutes, 1 and 6 hours."""


class LeakDetector:
    """Looks at each window when a point of it is complete: the least that was taken in its time."""

    about = About(
        help="memory that only grows",
        defaults="by 42 MB in 1 minute, 64 MB in 2.4 or 12 minutes, 48 MB in 1 or 6 hours, steadily (Mann-Kendall 5 "
        "standard deviations, the last third 0.75 times as fast as the first), and higher than in the last 6 hours; "
        "90 s after a start or a swap at the earliest; over 60 s after the last sign; critical 30 minutes before the "
        "limit",
        detects="1 MB/s: 45 s; 10 MB an hour: 6 hours",
        cost="5 µs, 100 µs when a point is complete (every 2.5 s)",
    )

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._of: tuple[object, ...] = ()
        self._memory_bytes = _machine_bytes()
        self._slo = ""
        self._objective: float | None = None
        self._start()

    def _start(self) -> None:
        self._seen_s = 0.0
        self._series = [_Series(window) for window in WINDOWS]
        self._left_s = 0.0
        self._slope = self._span_s = self._grown = 0.0

    def see(self, moment: Moment) -> Iterator[Finding]:
        passed_s = self._clock.tick(moment.t)
        used = moment.used
        if used is None or used.processes <= 0 or used.memory_bytes <= 0 or passed_s <= 0:
            return
        pids = tuple(worker.pid for worker in moment.status.workers)
        of = (moment.status.version, moment.status.generation, used.processes, pids)
        if of != self._of or self._clock.gap:
            self._of = of
            self._start()
        self._seen_s += passed_s
        if self._seen_s <= SETTLE_S:
            return
        memory = float(used.memory_bytes)
        requests = float(moment.answers.requests) if moment.answers is not None else 0.0
        for series in self._series:
            if series.add(passed_s, memory, requests) and series.leaks():
                self._left_s = max(OFF_S, 4 * series.step_s) + passed_s
                self._slope, self._span_s, self._grown = series.slope, series.span_s, series.grown
        self._left_s = max(0.0, self._left_s - passed_s)
        if self._left_s > 0:
            yield self._finding(moment, memory)

    def _finding(self, moment: Moment, memory: float) -> Finding:
        limit, whose = self._limit(moment)
        left_s = max(0.0, limit - memory) / self._slope
        return Finding(
            rule="leak",
            detector="leak",
            metric="memory_growth",
            severity="critical" if left_s < CRITICAL_S else "warning",
            text=f"Memory grows by {_size(self._slope)} a second ({_size(self._grown)} in {_span(self._span_s)}, now "
            f"{_size(memory)}); it reaches {whose} of {_size(limit)} in {_span(left_s)}",
            value=self._slope,
            limit=0.0,
            version=moment.status.version,
        )

    def _limit(self, moment: Moment) -> tuple[float, str]:
        """What memory may grow to: the person's objective, or what the machine has."""
        if moment.desired.slo != self._slo:
            from autodeploy_magic.slo import parse

            self._slo = moment.desired.slo
            found = (one.limit for one in parse(self._slo).objectives if one.metric == "memory") if self._slo else ()
            self._objective = next(iter(found), None)
        for one in moment.objectives:
            if one.metric == "memory":
                return one.limit, "its objective"
        if self._objective is not None:
            return self._objective, "its objective"
        elsewhere = moment.desired.target == "ray"
        return self._memory_bytes, "the memory of a machine like this one" if elsewhere else "the machine's memory"


class _Series:
    """The points of one window, oldest first: the least of each step, and the requests in it."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._points: deque[float] = deque(maxlen=POINTS)
        self._rates: deque[float] = deque(maxlen=POINTS)
        self._before = 0.0  # the most that there was before the first of the points
        self._highs: deque[float] = deque(maxlen=POINTS)
        self._low = self._high = 0.0
        self._filled_s = self._requests = 0.0
        self.slope = self.grown = 0.0
        self.step_s = window.step_s
        self.span_s = window.step_s * POINTS

    def add(self, passed_s: float, memory: float, requests: float) -> bool:
        """Whether a point is complete with it, and there are enough of them."""
        self._low = memory if self._filled_s == 0 else min(self._low, memory)
        self._high = max(self._high, memory)
        self._filled_s += passed_s
        self._requests += requests * passed_s
        if self._filled_s < self._window.step_s:
            return False
        if len(self._points) == POINTS:
            # What was high once is forgotten by and by: in about 6 hours, or 4 times the window.
            self._before = max(self._before - self._before * self._filled_s / max(24 * 3600.0, 16 * self.span_s), 0.0)
            self._before = max(self._before, self._highs[0])
        self._points.append(self._low)
        self._highs.append(self._high)
        self._rates.append(self._requests / self._filled_s)
        self._filled_s = self._requests = self._high = 0.0
        return len(self._points) == POINTS

    def leaks(self) -> bool:
        import numpy as np

        points = self._points
        third = POINTS // 3
        if points[-1] - points[0] < self._window.least_bytes or points[-1] <= self._before:
            return False
        values = np.fromiter(points, float, POINTS)
        rises = values[_pairs()[1]] - values[_pairs()[0]]
        kendall = float(np.sign(rises).sum()) / (POINTS * (POINTS - 1) * (2 * POINTS + 5) / 18) ** 0.5
        if kendall < TREND:
            return False
        slope = float(np.median(rises / (_pairs()[1] - _pairs()[0])))
        if slope * (POINTS - 1) < 0.8 * self._window.least_bytes:
            return False
        first = float(values[third : 2 * third].mean() - values[:third].mean())
        last = float(values[2 * third :].mean() - values[third : 2 * third].mean())
        if last < AS_FAST * first:
            return False
        if self._window.step_s > 100 and self._more_requests(third):
            return False
        self.slope, self.grown = slope / self._window.step_s, slope * POINTS
        return True

    def _more_requests(self, third: int) -> bool:
        """Whether more requests may be why more is taken."""
        rates = list(self._rates)
        return sum(rates[-third:]) > MORE_REQUESTS * sum(rates[:third])


@cache
def _pairs() -> Any:
    import numpy as np

    return np.triu_indices(POINTS, 1)


def _machine_bytes() -> float:
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _size(size: float) -> str:
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 10e6 else f"{size / 1e6:.2g} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 2 * 3600 else f"{seconds / 3600:.0f} hours"
