"""Kill the one worker that answers nobody; the supervisor replaces it at once."""

from __future__ import annotations

from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case, Figures
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["EndWorker"]


class EndWorker(Action):
    name = "end_worker"
    cool_down_s = 0.0
    settle_s = 5.0
    urgent = True

    def fits(self, case: Case) -> str:
        if not case.alert.worker:
            return "no worker is named"
        if case.status.workers and case.alert.worker not in {worker.pid for worker in case.status.workers}:
            return f"worker {case.alert.worker} has ended"
        return ""

    def would(self, case: Case) -> str:
        return f"end worker {case.alert.worker}, and start another"

    async def do(self, hands: Hands, case: Case) -> Done:
        await hands.end_worker(case.name, case.alert.worker)
        return Done(f"worker {case.alert.worker} ended and replaced")

    def helps(self, incident: Incident, limit: float | None, after: Figures) -> bool | None:
        return False  # where it did, its alert has ended
