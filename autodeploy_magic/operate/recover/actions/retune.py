"""Ask for a model of newer data. Nothing here makes one yet: it is a suggestion on the timeline, for a person."""

from __future__ import annotations

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["Retune"]


class Retune(Action):
    name = "retune"
    cool_down_s = 3600.0

    def fits(self, case: Case) -> str:
        return ""

    def would(self, case: Case) -> str:
        return "train again on newer data"

    async def do(self, hands: Hands, case: Case) -> Done:
        raise InvalidOption(
            f"{case.name} cannot be trained again from here",
            why="what it was trained on, and how, is in its notebook",
            fix=f"train on newer data, and `%%deploy {case.name}`: it becomes v{case.version + 1} at the same URL",
        )
