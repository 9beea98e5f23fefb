"""Refuse at once what would wait too long: a shorter queue, until there is less to do."""

from __future__ import annotations

from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.actions.base import improved
from autodeploy_magic.operate.recover.actions.scale_up import room_for
from autodeploy_magic.operate.recover.actions.tuning import Tuning
from autodeploy_magic.operate.recover.case import Case, Figures

__all__ = ["ShedLoad"]

LEAST = 8


class ShedLoad(Tuning):
    name = "shed_load"
    group = "queue"
    setting = "max_queue"
    temporary = True
    settle_s = 30.0

    def fits(self, case: Case) -> str:
        if not room_for(case)[1]:
            return "the machine has room for more workers"
        waiting = case.figures.get("waiting") or 0.0
        if waiting < LEAST:
            return f"{waiting:.0f} requests wait: a shorter queue would refuse hardly any"
        return "" if self.value(case) < self.now(case) else f"no more than {self.now(case):g} may wait already"

    def value(self, case: Case) -> float:
        """Half of what waits now, for each worker; the rest is refused with 429 and may come again."""
        workers = max(1, len(case.status.workers))
        return float(max(LEAST, int((case.figures.get("waiting") or 0.0) / (2 * workers))))

    def helps(self, incident: Incident, limit: float | None, after: Figures) -> bool | None:
        return improved(
            "p99", incident.before.get("p99"), after.get("p99"), limit if incident.metric == "p99" else None
        )
