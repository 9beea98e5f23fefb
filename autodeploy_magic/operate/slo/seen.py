"""What the objectives of a deployment are given each second, made once for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from autodeploy_magic.health import Finding, ObjectiveState
from autodeploy_magic.operate.detect.base import Answers, Moment
from autodeploy_magic.operate.slo.recent import Recent

__all__ = ["Judged", "Second"]

Judged = tuple[ObjectiveState, Finding | None]


@dataclass
class Second:
    """A moment, and in it what the champion and the canary answered; None where nothing is known, or there is none.

    `canary` is its number, 0 for none. Of either version the latencies of its last minutes.
    """

    moment: Moment
    champion: Answers | None
    champion_recent: Recent
    canary: int
    canary_answers: Answers | None
    canary_recent: Recent
