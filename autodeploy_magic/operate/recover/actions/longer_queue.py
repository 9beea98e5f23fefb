"""Let more requests wait where bursts are refused that would be answered in time."""

from __future__ import annotations

from autodeploy_magic.operate.recover.actions.tuning import Tuning
from autodeploy_magic.operate.recover.case import Case

__all__ = ["LongerQueue"]

MOST = 4096.0


class LongerQueue(Tuning):
    name = "longer_queue"
    group = "queue"
    setting = "max_queue"

    def fits(self, case: Case) -> str:
        if case.alert.metric != "refused":
            return "it is not refusals that the fault is about"
        waiting = case.figures.get("waiting") or 0.0
        if waiting < 0.5 * self.now(case):
            return "the queue is not full: requests are refused for another reason"
        return "" if self.now(case) < MOST else f"{self.now(case):g} may wait already"

    def value(self, case: Case) -> float:
        return min(MOST, 2 * self.now(case))
