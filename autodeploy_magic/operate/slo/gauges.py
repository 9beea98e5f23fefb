"""An objective that is a threshold: memory, cpu, disk_free, drift.

It is broken once the value has been beyond the limit for as long as `LASTS_S` says, and kept again once it has been
within 95 % of the limit for 30 s: what hovers about the limit makes one alert.
"""

from __future__ import annotations

from collections import deque

from autodeploy_magic.health import Finding, ObjectiveState
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.slo.seen import Judged, Second
from autodeploy_magic.slo import METRICS, Objective, worded

__all__ = ["CLEARS_AT", "CLEARS_S", "LASTS_S", "Gauge"]

LASTS_S = {"memory": 10, "cpu": 15, "disk_free": 10, "drift": 10}
"""Memory and disk have no time to lose; CPU is a mean over 30 s besides."""
CLEARS_AT = 0.95
CLEARS_S = 30
CPU_S = 30
"""CPU is the mean over so long: a second of it is all or nothing."""
_GAP_S = 3


class Gauge:
    """One objective. `see` judges a second."""

    def __init__(self, objective: Objective, *, learned: bool, since: int) -> None:
        self.objective = objective
        self._learned = learned
        self._last = since
        self._beyond_s = self._within_s = 0
        self._broken = False
        self._cpu: deque[tuple[float, float]] = deque()
        self._cpu_s = self._span_s = 0.0

    def anew(self, since: int) -> None:
        """Another version is the champion: a deployment's memory is the deployment's, whoever serves."""

    def see(self, second: Second) -> Judged:
        """How the objective stands, and the fault where it is broken."""
        t, value = second.moment.t, self._value(second.moment)
        step = t - self._last
        self._last = t
        passed = step if 0 <= step <= _GAP_S else 1
        if value is not None:
            self._judge(value, passed)
        return self._state(value), self._finding(value) if self._broken and value is not None else None

    def _judge(self, value: float, passed: int) -> None:
        limit, small = self.objective.limit, self.objective.op == "<"
        beyond = value > limit if small else value < limit
        within = value <= limit * CLEARS_AT if small else value >= limit / CLEARS_AT
        self._beyond_s = self._beyond_s + passed if beyond else 0
        self._within_s = self._within_s + passed if within else 0
        if self._beyond_s >= LASTS_S[self.objective.metric]:
            self._broken = True
        elif self._within_s >= CLEARS_S:
            self._broken = False

    def _value(self, moment: Moment) -> float | None:
        metric, used = self.objective.metric, moment.used
        if metric == "drift":
            return max((one.value for one in moment.drift if one.method == "psi"), default=None)
        if used is None:
            return None
        if metric == "disk_free":
            return float(used.disk_free_bytes) if used.disk_free_bytes >= 0 else None
        if not used.processes:
            self._cpu.clear()
            self._cpu_s = self._span_s = 0.0
            return None
        if metric == "memory":
            return float(used.memory_bytes)
        return self._cores(used.cpu_s, used.span_s)

    def _cores(self, cpu_s: float, span_s: float) -> float | None:
        """The mean of the last readings; None while they are of less than half that time."""
        self._cpu.append((cpu_s, span_s))
        self._cpu_s += cpu_s
        self._span_s += span_s
        while self._span_s > CPU_S + 0.5 and len(self._cpu) > 1:
            old_s, old_span_s = self._cpu.popleft()
            self._cpu_s -= old_s
            self._span_s -= old_span_s
        return max(0.0, self._cpu_s / self._span_s) if self._span_s >= CPU_S / 2 else None

    def _state(self, value: float | None) -> ObjectiveState:
        beyond = "burning" if self._beyond_s else "met"
        return ObjectiveState(
            text=self.objective.text,
            metric=self.objective.metric,
            state="unknown" if value is None else "broken" if self._broken else beyond,  # type: ignore[arg-type]
            limit=self.objective.limit,
            value=value,
            learned=self._learned,
        )

    def _finding(self, value: float) -> Finding:
        objective = self.objective
        metric, sign = objective.metric, ">" if objective.op == "<" else "<"
        beyond = (value > objective.limit) == (sign == ">")
        said, limit = worded(metric, value), worded(metric, objective.limit)
        text = f"{metric} {said} {sign} {limit}" if beyond else f"{metric} {said}, just back within {limit}"
        if metric == "drift":
            text += f": {METRICS[metric].help}"
        return Finding(
            rule=f"slo:{metric}",
            detector="slo",
            metric=metric,
            severity="warning" if self._learned or metric == "drift" else "critical",
            text=text + (f" (learned: {objective.text})" if self._learned else ""),
            value=value,
            limit=objective.limit,
            objective="learned" if self._learned else "given",
        )
