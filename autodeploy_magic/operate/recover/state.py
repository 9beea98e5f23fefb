"""What recovery knows of one deployment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Alert, Incident
from autodeploy_magic.operate.detect.base import Moment
from autodeploy_magic.operate.recover.actions.base import Done
from autodeploy_magic.operate.recover.actions.give_back import CALM_S
from autodeploy_magic.operate.recover.case import Lent
from autodeploy_magic.operate.recover.figures import Recent
from autodeploy_magic.operate.recover.incidents import MOST, Note
from autodeploy_magic.operate.recover.policy import IDLE

__all__ = ["State", "alert_of", "idle", "lent_after"]


@dataclass
class State:
    """One deployment. `acting` is the action under way, `writing` what is being written down, one after the other."""

    name: str
    incidents: list[Incident] = field(default_factory=list)
    notes: dict[str, Note] = field(default_factory=dict)
    lent: Lent = field(default_factory=Lent)
    recent: Recent = field(default_factory=Recent)
    faults: dict[str, str] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()
    moment: Moment | None = None
    acting: asyncio.Task[None] | None = None
    previous: tuple[int, float, int | None] = (0, 0.0, None)
    writing: set[asyncio.Task[None]] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def busy(self) -> bool:
        return self.acting is not None

    def find(self, incident: str) -> Incident:
        found = next((one for one in self.incidents if one.id == incident), None)
        if found is None:
            raise InvalidOption(
                f"{self.name} has no incident {incident!r}", fix=f"`%deploy incidents {self.name}` lists them"
            )
        return found

    def put(self, incident: Incident) -> None:
        """Have it among the incidents, as it is now."""
        for at, one in enumerate(self.incidents):
            if one.id == incident.id:
                self.incidents[at] = incident
                return
        self.incidents.insert(0, incident)
        for old in self.incidents[MOST:]:
            self.notes.pop(old.id, None)
        del self.incidents[MOST:]


def idle(moment: Moment, now_s: float) -> Alert:
    """What nobody is told of: that less would do."""
    return Alert(
        id="",
        name=moment.name,
        rule=IDLE,
        detector="",
        metric="cpu",
        severity="info",
        text=f"what was added has not been needed for {CALM_S / 60:.0f} minutes",
        since_s=now_s,
        drill=bool(moment.drill),
    )


def alert_of(incident: Incident) -> Alert:
    """The alert that an incident was about, as far as it tells."""
    return Alert(
        id="",
        name=incident.name,
        rule=incident.rule,
        detector="",
        metric=incident.metric,
        severity=incident.severity,
        text=incident.text,
        since_s=incident.opened_s,
    )


def lent_after(lent: Lent, done: Done, desired: Desired) -> Lent:
    """What is lent after an action: what the person wanted is remembered from the first on."""
    given, back = done.lent or {}, done.back or {}
    workers = int(given.get("workers", lent.workers))
    before = lent.workers_before or desired.workers
    changed = given.get("settings", {})
    kept = lent.settings | changed if changed or "settings" not in given else {}
    wanted = back.get("settings", {}) | lent.settings_before
    return Lent(
        workers_before=before if workers else 0,
        workers=workers,
        settings_before={name: value for name, value in wanted.items() if name in kept},
        settings=kept,
    )
