"""Run the same version with another value of one setting: what the actions that do so have in common."""

from __future__ import annotations

from autodeploy_magic import settings
from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["Tuning"]


class Tuning(Action):
    """`setting` is one of `moves.TUNABLE`. `temporary` says that it is given back once nobody needs it."""

    setting = ""
    temporary = False
    cool_down_s = 120.0

    def value(self, case: Case) -> float:
        """What it should be."""
        raise NotImplementedError

    def now(self, case: Case) -> float:
        return case.setting(self.setting, float(settings.KNOBS[self.setting].default))

    def would(self, case: Case) -> str:
        return f"set {self.setting} {self.now(case):g} → {self.value(case):g}"

    async def do(self, hands: Hands, case: Case) -> Done:
        now, value = self.now(case), self.value(case)
        await hands.run(case.name, None, {self.setting: value})
        lent = {"settings": {self.setting: value}} if self.temporary else None
        return Done(f"set {self.setting} {now:g} → {value:g}", {"settings": {self.setting: now}}, lent)
