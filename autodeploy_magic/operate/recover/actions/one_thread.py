"""Give each run of the model one thread, where several workers share the processors and all are busy."""

from __future__ import annotations

from autodeploy_magic.operate.recover.actions.tuning import Tuning
from autodeploy_magic.operate.recover.case import BUSY, Case

__all__ = ["OneThread"]


class OneThread(Tuning):
    name = "one_thread"
    setting = "threads"

    def fits(self, case: Case) -> str:
        each = self.now(case) or max(1, case.room.cores // max(1, case.desired.workers))
        if each <= 1:
            return "a run of the model has one thread"
        cpu = case.figures.get("cpu")
        if case.desired.workers < 2 or cpu is None or cpu < BUSY * case.room.cores:
            return "the processors are not all busy with several workers"
        return ""

    def value(self, case: Case) -> float:
        return 1.0
