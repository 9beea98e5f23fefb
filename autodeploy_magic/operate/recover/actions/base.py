"""What an action has to be, and what most of them have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.case import Case, Figures
from autodeploy_magic.operate.recover.hands import Hands

__all__ = ["Action", "Done", "improved"]

ENOUGH = 0.8
"""A figure that fell to this part of what it was got better; less may be chance."""
MORE_IS_BETTER = ("accuracy", "precision", "recall", "f1", "r2", "rate", "workers", "disk_free")


class Done(NamedTuple):
    """What was done, in words; what `undo` needs to take it back (JSON), None where that cannot be.

    `lent` is how it is now, of what is given back by and by once nobody needs it: workers and settings.
    """

    did: str
    back: dict[str, Any] | None = None
    lent: dict[str, Any] | None = None


class Action:
    """One thing that can be done. It holds nothing: one object does for all deployments.

    After `cool_down_s` it, or another of its `group`, may be done again. It is judged once the fault is gone, else
    after `settle_s`. An `urgent` one does not wait until another has been judged.
    """

    name = ""
    group = ""
    cool_down_s = 60.0
    settle_s = 30.0
    urgent = False

    def fits(self, case: Case) -> str:
        """Why it cannot be done, or would be of no use; "" where it can be done."""
        raise NotImplementedError

    def would(self, case: Case) -> str:
        """What it would do, in words: "scale 1 → 2 workers"."""
        raise NotImplementedError

    async def do(self, hands: Hands, case: Case) -> Done:
        """Do it. Raises an `AutodeployError` where it cannot be done; then nothing has changed."""
        raise NotImplementedError

    async def undo(self, hands: Hands, name: str, back: dict[str, Any]) -> str:
        """Take it back; returns what was done, in words."""
        await hands.run(name, back.get("workers"), back.get("settings", {}))
        return "as before"

    def helps(self, incident: Incident, limit: float | None, after: Figures) -> bool | None:
        """Whether the figures are better than before it, though the fault may be told for a while yet.

        None where they do not tell.
        """
        return improved(incident.metric, incident.before.get(incident.metric), after.get(incident.metric), limit)


def improved(metric: str, before: float | None, after: float | None, limit: float | None) -> bool | None:
    """Whether a figure got clearly better, or is within its limit now; None where it was not measured."""
    if after is None:
        return None
    if metric in MORE_IS_BETTER:
        within = limit is not None and after >= limit
        return within or (before is not None and after >= before / ENOUGH and after > before)
    within = limit is not None and after <= limit
    return within or (before is not None and after <= before * ENOUGH and after < before)
