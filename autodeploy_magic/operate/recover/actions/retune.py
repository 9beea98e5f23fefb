"""Begin a re-tune: what it finds is proposed, or taken where the deployment's `retune_promote` is "auto"."""

from __future__ import annotations

from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.operate.recover.hands import Hands
from autodeploy_magic.operate.recover.policy import LATE

__all__ = ["Retune"]


class Retune(Action):
    name = "retune"
    cool_down_s = 6 * 3600.0
    settle_s = 900.0

    def fits(self, case: Case) -> str:
        metric, objective = case.alert.metric, case.alert.objective
        if metric in ("cpu", "waiting", "queue", "refused") or (metric in LATE and objective != "given"):
            return "more requests call for more workers, and not for another model"
        return ""

    def would(self, case: Case) -> str:
        return "re-tune: look for a better version on what was recorded"

    async def do(self, hands: Hands, case: Case) -> Done:
        key = await hands.retune(case.name, f"incident {case.alert.rule}")
        promote = case.desired.settings.get("retune_promote")
        then = "what it proves is taken" if promote == "auto" else "it proposes what it proves"
        return Done(f"began the re-tune {key}: {then}")
