"""Serve with more workers, by demand and by what the machine has free."""

from __future__ import annotations

from autodeploy_magic.health import Incident
from autodeploy_magic.operate.recover.actions.base import Action, Done, improved
from autodeploy_magic.operate.recover.case import Case, Figures
from autodeploy_magic.operate.recover.hands import Hands
from autodeploy_magic.operate.recover.words import bytes_text

__all__ = ["ScaleUp", "room_for"]

LEAST_FREE = 0.5
"""Of a core: a worker more that gets less takes from the others what it gives."""
_SHOW_IT = ("p99", "refused", "waiting", "rate")
SPARE_BYTES = 256 * 1024 * 1024


def room_for(case: Case) -> tuple[int, str]:
    """How many workers more the machine has room for; where it has none, why."""
    room, workers = case.room, max(1, case.desired.workers)
    if case.desired.target == "ray":
        return 0, "its cluster adds replicas by itself"
    if workers >= room.cores:
        return 0, f"there is a worker for each of the {room.cores} cores"
    if room.cores_free < LEAST_FREE:
        return 0, f"only {room.cores_free:.1f} of {room.cores} cores are free"
    each = (case.figures.get("memory") or 0.0) / max(1, len(case.status.workers))
    left = room.memory_free_bytes - SPARE_BYTES
    fit = int(left // each) if each else room.cores
    if left <= 0 or fit < 1:
        return 0, f"only {bytes_text(room.memory_free_bytes)} of memory are free, and a worker takes {bytes_text(each)}"
    return min(room.cores - workers, fit, max(1, int(room.cores_free))), ""


class ScaleUp(Action):
    name = "scale_up"
    group = "scale"
    cool_down_s = 60.0
    settle_s = 20.0

    def fits(self, case: Case) -> str:
        if case.desired.state != "running" or len(case.status.workers) < case.desired.workers:
            return "not all workers that are wanted serve yet"
        if not case.demand:
            return "neither processors nor queue tell of more work than the workers can do"
        return room_for(case)[1]

    def would(self, case: Case) -> str:
        return f"scale {case.desired.workers} → {self._target(case)} workers"

    async def do(self, hands: Hands, case: Case) -> Done:
        now, target = case.desired.workers, self._target(case)
        await hands.run(case.name, target, {})
        return Done(f"scaled {now} → {target} workers", {"workers": now}, {"workers": target})

    def helps(self, incident: Incident, limit: float | None, after: Figures) -> bool | None:
        """Where answers come sooner, are refused less, or more of them are given."""
        better = super().helps(incident, limit, after)
        others = [improved(name, incident.before.get(name), after.get(name), None) for name in _SHOW_IT]
        return any([better, *others]) if better is not None or any(others) else None

    def _target(self, case: Case) -> int:
        """At most twice as many: demand that is not met by then is seen again."""
        return case.desired.workers + min(room_for(case)[0], case.desired.workers)
