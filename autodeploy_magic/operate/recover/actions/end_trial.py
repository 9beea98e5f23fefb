"""End the trial of a canary or a shadow: the champion answers everything."""

from __future__ import annotations

from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["EndTrial"]


class EndTrial(Action):
    name = "end_trial"
    cool_down_s = 10.0
    settle_s = 15.0
    urgent = True

    def fits(self, case: Case) -> str:
        traffic = case.desired.traffic
        return "" if traffic.canary or traffic.shadow else "no version is being tried"

    def would(self, case: Case) -> str:
        return f"end the trial of v{_tried(case)}"

    async def do(self, hands: Hands, case: Case) -> Done:
        await hands.end_trial(case.name)
        return Done(f"ended the trial of v{_tried(case)}")


def _tried(case: Case) -> int:
    return case.desired.traffic.canary or case.desired.traffic.shadow
