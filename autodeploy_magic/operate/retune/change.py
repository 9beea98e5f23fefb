"""Since when the champion errs more, or less: what was labelled before says what was right then, and not now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Version
from autodeploy_magic.operate.quality.pairs import Pairs
from autodeploy_magic.operate.quality.window import Window
from autodeploy_magic.operate.retune.weights import turn
from autodeploy_magic.reservoir import Labelled

__all__ = ["SURE", "changed_s", "recorded_change_s"]

SURE = 0.01
"""The chance of taking errors for changed where they are not. Then there are only fewer rows to judge by."""


def changed_s(errors: NDArray[Any], at_s: NDArray[Any]) -> float:
    """The last moment at which one model's errors became others, in seconds since the epoch; 0.0 for never.

    More of them tell that the meaning of the answers changed; fewer, that the model was made for what it means now.
    """
    order = np.argsort(at_s, kind="stable")
    found = [turn(sign * errors[order], at_s[order], sure=SURE / 2) for sign in (1.0, -1.0)]
    return max((one.at_s for one in found if one is not None), default=0.0)


def recorded_change_s(version: Version, labelled: Iterable[Labelled]) -> float:
    """The same of what a version has answered when it was asked."""
    pairs, rows = Pairs(version), [one for one in labelled if one.version == version.number]
    window = Window(max(len(rows), 1))
    for one in rows:
        window.add(one, pairs.of(one.prediction, one.label))
    scored = window.rows()
    if scored is None:
        return 0.0
    return changed_s(scored.loss, np.array([rows[slot].answered_s for slot in scored.slots]))
