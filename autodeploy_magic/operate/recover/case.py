"""What is known of a deployment when it is decided what to do about a fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from autodeploy_magic.contracts import Desired, Record, Status
from autodeploy_magic.health import Alert
from autodeploy_magic.operate.recover.hands import Room

__all__ = ["Case", "Figures", "Lent"]

Figures = Mapping[str, float | None]
"""Means by name: p50, p99, errors, refused, rate, memory, cpu, workers, waiting, disk_free. None: not measured."""

BUSY = 0.7
"""So much of a core for each worker: what comes in then waits."""


class Lent(Record, frozen=True, kw_only=True):
    """What recovery changed for a time: how it was before, and how it is. Whoever changes it by hand ends that."""

    workers_before: int = 0
    workers: int = 0
    settings_before: dict[str, float] = msgspec.field(default_factory=dict)
    settings: dict[str, float] = msgspec.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.workers or self.settings)

    def still(self, desired: Desired) -> Lent:
        """What of it is as recovery left it."""
        kept = {name for name, value in self.settings.items() if desired.settings.get(name) == value}
        workers = self.workers == desired.workers and self.workers != self.workers_before
        return Lent(
            workers_before=self.workers_before if workers else 0,
            workers=self.workers if workers else 0,
            settings_before={name: self.settings_before[name] for name in sorted(kept)},
            settings={name: self.settings[name] for name in sorted(kept)},
        )


@dataclass(frozen=True)
class Case:
    """`swapped_s` is when the champion became what it is, `bake_s` for how long that is recent; `by_us` says that a
    roll-back of recovery's own put it there. `rolled_back` are the versions that were rolled back lately. `blamed` says
    that the canary does worse than the champion. `calm_s` is for how long less would have done.
    """

    now_s: float
    alert: Alert
    desired: Desired
    status: Status
    figures: Figures
    room: Room
    previous: int | None = None
    swapped_s: float = 0.0
    bake_s: float = 600.0
    by_us: bool = False
    rolled_back: frozenset[int] = frozenset()
    blamed: bool = False
    calm_s: float = 0.0
    lent: Lent = field(default_factory=Lent)

    @property
    def name(self) -> str:
        return self.desired.name

    @property
    def version(self) -> int:
        return self.status.version or self.desired.version

    @property
    def baking(self) -> bool:
        """Whether the fault may be put down to a swap: it began soon after one that a person made."""
        recent = self.swapped_s > 0.0 and self.now_s - self.swapped_s <= self.bake_s
        return recent and self.alert.since_s >= self.swapped_s - 1.0 and self.previous is not None and not self.by_us

    @property
    def demand(self) -> str:
        """What tells of more work than the workers can do; "" where nothing does."""
        workers = max(1, len(self.status.workers))
        cpu, waiting = self.figures.get("cpu"), self.figures.get("waiting")
        if cpu is not None and cpu >= BUSY * workers:
            return f"{workers} worker{'' if workers == 1 else 's'} take {cpu:.1f} cores"
        if waiting is not None and waiting >= 2 * workers:
            return f"{waiting:.0f} requests wait"
        return ""

    def setting(self, name: str, default: float) -> float:
        """A setting of the deployment's that is a number."""
        value = self.desired.settings.get(name, default)
        return float(value) if isinstance(value, int | float) else default
