"""A challenger before the gate, with everything that is known of it, and how sure the gate wants to be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from autodeploy_magic.operate.retune.gate.sides import Sides
from autodeploy_magic.retuning import Family

__all__ = ["CHANCE", "LEAST_ROWS", "Case"]

LEAST_ROWS: dict[Family, int] = {"run": 8, "smaller": 30, "better": 50}
"""Rows to judge by (labelled ones, of what is to be better), without which there is no judgement."""
CHANCE = 0.01
"""The chance of taking a candidate that is no better for one, in a whole re-tune: it is shared out among those that
are to be better (Bonferroni). Stricter than the usual 0.05: re-tunes come again every day, on much the same labels."""


@dataclass(frozen=True)
class Case:
    """A challenger before the gate. `a` and `b` are what was measured of champion and challenger.

    `claims` says what is to be better: "" the task's metric, "log_loss" or "f1". `tried` counts the candidates that are
    to be better.
    """

    sides: Sides
    family: Family
    a: dict[str, Any]
    b: dict[str, Any]
    claims: str = ""
    goal: str = "auto"
    max_loss: float = 0.005
    tried: int = 1
    seed: int = 0
    p99_s: float | None = None
    memory_bytes: float | None = None

    @cached_property
    def cpu(self) -> tuple[float, float] | None:
        """CPU seconds of a mean request, of both, as if both had been measured at the same pace of the machine."""
        found = [side.get("cpu_s") for side in (self.a, self.b)]
        if found[0] is None or found[1] is None:
            return None
        paces = [side.get("pace_s") or 1.0 for side in (self.a, self.b)]
        return float(found[0]), float(found[1]) * paces[0] / paces[1]

    @property
    def labelled(self) -> int:
        """Rows by whose labels both can be scored."""
        return 0 if self.sides.scored is None else len(self.sides.scored[0].truth)

    @property
    def chance(self) -> float:
        """The chance that this one candidate may have of passing for better by luck."""
        return CHANCE / max(1, self.tried)
