"""Make the version before the champion again."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["RollBack"]


class RollBack(Action):
    name = "roll_back"
    cool_down_s = 30.0
    settle_s = 15.0
    urgent = True

    def fits(self, case: Case) -> str:
        if case.previous is None:
            return "there is no earlier version to go back to"
        if case.by_us:
            return f"v{case.version} is what was gone back to"
        if case.previous in case.rolled_back:
            return f"v{case.previous} was itself rolled back lately"
        return ""

    def would(self, case: Case) -> str:
        return f"roll back v{case.version} → v{case.previous}"

    async def do(self, hands: Hands, case: Case) -> Done:
        assert case.previous is not None
        await hands.roll_back(case.name, case.previous)
        return Done(f"rolled back v{case.version} → v{case.previous}", {"version": case.version, "to": case.previous})

    async def undo(self, hands: Hands, name: str, back: dict[str, Any]) -> str:
        await hands.roll_back(name, int(back["version"]))
        return f"v{back['version']} serves again"
