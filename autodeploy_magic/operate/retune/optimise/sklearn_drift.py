"""Since when a model answers worse than before, on its labelled rows; and which of them to train with then."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from autodeploy_magic.operate.retune.optimise.sklearn_material import Material
from autodeploy_magic.operate.retune.weights import SURE, Turn, turn

__all__ = ["Drift", "drift_of"]

_MOST_ASKED = 5000
"""Rows that the model is asked to see how its errors went; the newest ones of more."""
_FEWEST = 30


@dataclass(frozen=True)
class Drift:
    """How the champion's errors went. `found` is the turn, None for none that is sure.

    `apart` says that it errs more on the traffic than on the rows that were given, whose age nobody knows, and
    `traffic_s` when the first row of the traffic was asked. `words` say what was found, with the figures.
    """

    found: Turn | None
    apart: bool
    traffic_s: float
    words: str


def drift_of(material: Material) -> Drift:
    """Ask the champion (`material.model`) its labelled rows of the traffic, in their order of time."""
    import numpy as np

    aged = np.flatnonzero(material.at_s > 0)
    given = np.flatnonzero(~(material.at_s > 0))
    if len(aged) < _FEWEST:
        return Drift(None, False, 0.0, "")
    part = material.taken(aged[-_MOST_ASKED:])
    errors = part.errors(material.model)
    found = turn(errors, part.at_s)
    start = float(material.at_s[aged[0]])
    if found is not None:
        return Drift(found, False, start, f"{_said(material, found.before, found.after)} at {_clock(found.at_s)}")
    if len(given) < _FEWEST:
        return Drift(None, False, start, "")
    before = material.taken(given[-_MOST_ASKED:]).errors(material.model)
    spread = math.sqrt(float(before.var()) / len(before) + float(errors.var()) / len(errors))
    z = (float(errors.mean()) - float(before.mean())) / spread if spread > 0 else 0.0
    apart = math.erfc(z / math.sqrt(2)) / 2 < SURE
    return Drift(None, apart, start, _said(material, float(before.mean()), float(errors.mean())) if apart else "")


def _said(material: Material, before: float, after: float) -> str:
    if material.classifies:
        return f"errors rose from {before:.1%} to {after:.1%}"
    return f"the mean error rose from {before:.3g} to {after:.3g}"


def _clock(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
