"""Remove versions that nothing uses, and old records, where the disk is filling."""

from __future__ import annotations

from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.actions.base import Action, Done
from autodeploy_magic.operate.recover.case import Case, Figures
from autodeploy_magic.operate.recover.hands import Hands
from autodeploy_magic.operate.recover.words import bytes_text

__all__ = ["Trim"]


class Trim(Action):
    name = "trim"
    cool_down_s = 600.0
    settle_s = 30.0

    def fits(self, case: Case) -> str:
        return ""

    def would(self, case: Case) -> str:
        return "remove versions that nothing uses, and old logs; the one to go back to stays"

    async def do(self, hands: Hands, case: Case) -> Done:
        return Done(f"trimmed the store: {bytes_text(await hands.trim(case.name))} freed")

    def helps(self, incident: Incident, limit: float | None, after: Figures) -> bool | None:
        before, now = incident.before.get("disk_free"), after.get("disk_free")
        return None if before is None or now is None else now > before
