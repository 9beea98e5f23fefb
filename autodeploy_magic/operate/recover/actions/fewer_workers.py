"""Serve with one worker less, where memory is short."""

from __future__ import annotations

from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["FewerWorkers"]


class FewerWorkers(Action):
    name = "fewer_workers"
    group = "scale"
    cool_down_s = 120.0

    def fits(self, case: Case) -> str:
        return "" if case.desired.workers > 1 else "there is one worker, and one must be"

    def would(self, case: Case) -> str:
        return f"scale {case.desired.workers} → {case.desired.workers - 1} workers"

    async def do(self, hands: Hands, case: Case) -> Done:
        now = case.desired.workers
        await hands.run(case.name, now - 1, {})
        return Done(f"scaled {now} → {now - 1} workers", {"workers": now})
