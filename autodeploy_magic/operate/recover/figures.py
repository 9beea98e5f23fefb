"""The last half minute of a deployment in figures, for the numbers before and after an action."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from autodeploy_magic.metrics.histogram import Histogram, merge, quantiles
from autodeploy_magic.operate.detect.base import Answers, Moment
from autodeploy_magic.operate.recover.case import Figures

__all__ = ["OVER_S", "Recent"]

OVER_S = 30
_KEPT_S = 120
_LEAST_BLAMED = 5
_BLAMED_ERRORS = 0.05
_TIMES_WORSE = 4.0


class _Second(NamedTuple):
    t: int
    answers: Answers | None
    by_version: dict[int, Answers]
    memory: int | None
    cpu: float | None
    workers: int
    waiting: int
    disk_free: int | None


class Recent:
    """Seconds as they came. `calm_since` is since when one worker less would have done (seconds since the epoch)."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque(maxlen=_KEPT_S)
        self.calm_since = 0.0

    def add(self, moment: Moment) -> None:
        used = moment.used
        known = used is not None and used.processes > 0
        self._seconds.append(
            _Second(
                moment.t,
                moment.answers,
                moment.by_version,
                used.memory_bytes if used is not None and known else None,
                used.cpu_s / used.span_s if used is not None and known and used.span_s > 0 else None,
                len(moment.status.workers),
                moment.waiting,
                used.disk_free_bytes if used is not None and used.disk_free_bytes >= 0 else None,
            )
        )
        if not self._calm(self._seconds[-1]):
            self.calm_since = moment.t

    def calm_s(self, now_s: float) -> float:
        return max(0.0, now_s - self.calm_since) if self.calm_since else 0.0

    def means(self, since_s: float, until_s: float) -> Figures:
        """Over the seconds between two times; at most those of the last two minutes."""
        found = [one for one in self._seconds if since_s <= one.t < until_s]
        answers = [one.answers for one in found if one.answers is not None]
        requests = sum(one.requests for one in answers)
        latency = merge(one.latency for one in answers)
        p50, p99 = quantiles(latency, (0.5, 0.99))
        return {
            "p50": p50,
            "p99": p99,
            "errors": sum(one.failed for one in answers) / requests if requests else None,
            "refused": sum(one.refused for one in answers) / requests if requests else None,
            "rate": requests / len(answers) if answers else None,
            "memory": _mean(one.memory for one in found),
            "cpu": _mean(one.cpu for one in found),
            "workers": float(found[-1].workers) if found else None,
            "waiting": _mean(one.waiting for one in found),
            "disk_free": float(free) if (free := _last(one.disk_free for one in found)) is not None else None,
        }

    def worse(self, version: int, champion: int, now_s: float) -> bool:
        """Whether a version that is tried fails, or is late, where the champion is not."""
        tried, other = self._of(version, now_s), self._of(champion, now_s)
        if tried.requests < _LEAST_BLAMED or other.requests < _LEAST_BLAMED:
            return False
        errors, usual = tried.failed / tried.requests, other.failed / other.requests
        if errors >= _BLAMED_ERRORS and errors >= _TIMES_WORSE * usual:
            return True
        late, in_time = _p99(tried.latency), _p99(other.latency)
        return late is not None and in_time is not None and late >= _TIMES_WORSE * in_time

    def _of(self, version: int, now_s: float) -> Answers:
        found = [
            one.by_version[version] for one in self._seconds if version in one.by_version and one.t >= now_s - OVER_S
        ]
        return Answers(
            requests=sum(one.requests for one in found),
            failed=sum(one.failed for one in found),
            latency=merge(one.latency for one in found),
        )

    def _calm(self, second: _Second) -> bool:
        """Whether a worker less would have done. One that is alone is calm while it has little to do."""
        if second.cpu is None or second.answers is None:
            return False
        left = max(1, second.workers - 1)
        return second.cpu <= 0.5 * left and second.waiting <= left


def _p99(latency: Histogram) -> float | None:
    return quantiles(latency, (0.99,))[0]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _last(values: Iterable[int | None]) -> int | None:
    return next((value for value in reversed(list(values)) if value is not None), None)
