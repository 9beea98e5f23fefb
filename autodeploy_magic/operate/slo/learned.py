"""What is promised where nobody said so: learned from the first five minutes after a champion came.

errors   three times the share that was seen, at least 1 % and at most 5 %. At least 1 %: of few requests one fails by
         chance. At most 5 %: more is broken, however usual it was. Until something is learned, 5 % is what holds.
p99      three times the median of the minutes' 99th percentiles, at least 10 ms. The median, for one with a hiccup
         does not count; three times, for a busy hour may double it; 10 ms, for below it is the machine's jitter.
memory   half as much again as the most there was, and at least 256 MB more: caches and buffers that fill grow by a
         part of what is there, a worker that is replaced is there twice for a moment.

All are rounded up to two digits. The first ten seconds do not count: code is loaded, pools are made. Nothing is learned
while something fires, while a fault is caused on purpose, or while workers are missing: it begins anew after that. It
is learned again where another format serves, with other workers or other batches: then other latencies are usual. A
refused request is its sender's mistake, and CPU follows demand: neither is promised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

from autodeploy_magic.metrics.histogram import quantile
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.slo.seen import Second
from autodeploy_magic.slo import Objective, parse

__all__ = ["LEARN_S", "LEAST_ANSWERS", "UNTIL_LEARNED", "Learner", "error_limit", "memory_limit", "p99_limit"]

LEARN_S = 300
LEAST_ANSWERS = 300
"""Three answers are beyond a 99th percentile of so many: of fewer it is one answer's luck."""
WARM_S = 10
UNTIL_LEARNED = parse("errors<5%").objectives

_MINUTE_ANSWERS = 100
_RUN_BY = (
    "batch_rows",
    "max_queue",
    "request_timeout_s",
    "spinning",
    "threads",
)  # of the settings those that change how fast it answers
_LEAST_ERRORS, _MOST_ERRORS = 0.01, 0.05
_LEAST_P99_S = 0.010
_LEAST_MORE_BYTES = 256e6


class Learner:
    """One deployment's. `objectives` are those that hold now."""

    def __init__(self) -> None:
        self.objectives: tuple[Objective, ...] = UNTIL_LEARNED
        self._of: object = None
        self._begin(0)
        self._done = False

    def see(self, second: Second, *, fires: bool) -> bool:
        """Learn from a second. Whether the objectives are others from now on."""
        moment, changed = second.moment, False
        of = _run_how(moment)
        if of != self._of:
            changed = self.objectives != UNTIL_LEARNED
            self.objectives, self._of, self._done = UNTIL_LEARNED, of, False
            self._begin(moment.t)
        if self._done:
            return changed
        if fires or moment.drill or moment.status.state != "running":
            self._begin(moment.t)
            return changed
        self._add(second)
        if moment.t - self._since < WARM_S + LEARN_S:
            return changed
        self._done = self._answers >= LEAST_ANSWERS
        found = self._found()
        changed = changed or found != self.objectives
        self.objectives = found
        return changed

    def _begin(self, t: int) -> None:
        self._since = t
        self._answers = self._failed = self._memory = 0
        self._all: dict[int, int] = {}
        self._minute: dict[int, int] = {}
        self._minute_began = t + WARM_S
        self._p99s: list[float] = []

    def _add(self, second: Second) -> None:
        moment = second.moment
        if moment.t - self._since < WARM_S:
            return
        used, answers = moment.used, second.champion
        if used is not None and used.processes:
            self._memory = max(self._memory, used.memory_bytes)
        if answers is not None and answers.requests:
            self._answers += answers.requests
            self._failed += answers.failed
            for index, count in answers.latency.items():
                self._minute[index] = self._minute.get(index, 0) + count
                self._all[index] = self._all.get(index, 0) + count
        if moment.t - self._minute_began >= 59:
            if sum(self._minute.values()) >= _MINUTE_ANSWERS:
                self._p99s.append(_p99(self._minute))
            self._minute, self._minute_began = {}, moment.t + 1

    def _found(self) -> tuple[Objective, ...]:
        known: list[str] = []
        if self._done:
            p99_s = median(self._p99s) if self._p99s else _p99(self._all)
            known += [
                f"p99<{1000 * p99_limit(p99_s):g}ms",
                f"errors<{100 * error_limit(self._failed / self._answers):g}%",
            ]
        if self._memory:
            known.append(f"memory<{memory_limit(self._memory) / 1e6:.0f}MB")
        learned = parse(", ".join(known)).objectives
        return learned if self._done else (*UNTIL_LEARNED, *learned)


def p99_limit(measured_s: float) -> float:
    """The limit of p99 in seconds; see the module."""
    return _up(max(3 * measured_s, _LEAST_P99_S))


def error_limit(share: float) -> float:
    """The limit of the share of errors; see the module."""
    return min(_MOST_ERRORS, _up(max(3 * share, _LEAST_ERRORS)))


def memory_limit(most_bytes: float) -> float:
    """The limit of memory in bytes; see the module."""
    return _up(max(1.5 * most_bytes, most_bytes + _LEAST_MORE_BYTES))


def _up(value: float) -> float:
    """Rounded up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    steps = value / unit
    return round(math.ceil(steps - 1e-9) * unit, 12)


def _p99(histogram: Mapping[int, int]) -> float:
    found = quantile(histogram, 0.99)
    return found if found is not None else 0.0


def _run_how(moment: Moment) -> object:
    """What a latency that is usual depends on, besides the model."""
    settings = moment.desired.settings
    return moment.version.format, moment.desired.workers, *(settings.get(name) for name in _RUN_BY)
