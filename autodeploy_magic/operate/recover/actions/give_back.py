"""Give back what recovery added and nobody needs any more: a worker at a time, then the settings."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case, Figures
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["CALM_S", "GiveBack"]

CALM_S = 600.0
"""How long one worker less has to have been enough, without a fault. Much longer than scaling up waits: no flapping."""


class GiveBack(Action):
    name = "give_back"
    group = "scale"
    cool_down_s = CALM_S
    settle_s = 5.0

    def fits(self, case: Case) -> str:
        if not case.lent:
            return "everything is as the person wanted it"
        if case.calm_s < CALM_S:
            return f"it was needed {case.calm_s:.0f} s ago"
        return ""

    def would(self, case: Case) -> str:
        lent, workers = case.lent, case.desired.workers
        if lent.workers > lent.workers_before:
            return f"scale {workers} → {workers - 1} workers"
        return f"set {_words(lent.settings_before)} as it was"

    async def do(self, hands: Hands, case: Case) -> Done:
        lent, workers = case.lent, case.desired.workers
        if lent.workers > lent.workers_before:
            await hands.run(case.name, workers - 1, {})
            return Done(f"scaled {workers} → {workers - 1} workers", {"workers": workers}, {"workers": workers - 1})
        if lent.settings:
            await hands.run(case.name, None, dict(lent.settings_before))
            back: dict[str, Any] = {"settings": dict(lent.settings)}
            return Done(f"set {_words(lent.settings_before)} as it was", back, {"settings": {}})
        return Done("nothing was left to give back")

    def helps(self, incident: Incident, limit: float | None, after: Figures) -> bool | None:
        return True  # what it did was right unless a fault follows, which is another matter


def _words(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in settings.items())
