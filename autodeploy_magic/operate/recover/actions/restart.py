"""Replace all workers by fresh ones, which loses no request: what they had gathered over time is gone."""

from __future__ import annotations

from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.operate.recover.hands import Hands
from autodeploy_magic.operate.recover.words import workers_text

__all__ = ["Restart"]


class Restart(Action):
    name = "restart"
    cool_down_s = 300.0
    settle_s = 20.0

    def fits(self, case: Case) -> str:
        return "it is stopped" if case.desired.state != "running" else ""

    def would(self, case: Case) -> str:
        return f"replace {workers_text(max(1, len(case.status.workers)))} by fresh ones, without a lost request"

    async def do(self, hands: Hands, case: Case) -> Done:
        await hands.restart(case.name)
        return Done(f"{workers_text(case.desired.workers)} replaced by fresh ones")
