"""How sure a figure is: 95 % confidence intervals, in closed form, since they are made anew every few seconds.

proportion   Wilson's score interval (1927)
f_one        of two classes, F1 = 2 J / (1 + J) where J = tp / (tp + fp + fn) is a proportion (Hand, Christen, Kirielle
             2021, "F*: an interpretable transformation of the F-measure"): Wilson's interval of J, transformed
by_influence the delta method: the variance of a figure is that of its rows' influence on it, over their number (macro
             averages as Takahashi et al. 2022, "Confidence interval for micro-averaged F1 and macro-averaged F1
             scores"). On a scale where the figure has no bound: logit for shares, log for errors and for 1 - R².
"""

from __future__ import annotations

import math
from typing import Any, Literal

from numpy.typing import NDArray

__all__ = ["Interval", "by_influence", "f_one", "proportion"]

Interval = tuple[float, float]

_WIDEST = 100.0
"""Half of an interval, relative to the figure, from which on it says nothing."""
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % lie between it and its negative."""


def proportion(successes: float, trials: float) -> Interval | None:
    """Wilson's interval of `successes` of `trials`; None where nothing was tried."""
    if trials <= 0:
        return None
    share, z2 = successes / trials, Z * Z
    middle = share + z2 / (2 * trials)
    half = Z * math.sqrt(max(0.0, share * (1 - share)) / trials + z2 / (4 * trials * trials))
    low, high = (middle - half) / (1 + z2 / trials), (middle + half) / (1 + z2 / trials)
    return max(0.0, low) if successes > 0 else 0.0, min(1.0, high) if successes < trials else 1.0


def f_one(hits: float, misses: float) -> Interval | None:
    """The interval of F1 = 2 tp / (2 tp + fp + fn); `hits` is tp, `misses` fp + fn."""
    found = proportion(hits, hits + misses)
    return None if found is None else (2 * found[0] / (1 + found[0]), 2 * found[1] / (1 + found[1]))


def by_influence(value: float, influence: NDArray[Any], scale: Literal["share", "error", "rest"]) -> Interval | None:
    """The interval of a figure from the influence of each row on it (the derivative by that row's weight).

    `scale`: a "share" is within 0 and 1, an "error" above 0, a "rest" below 1. None for less than two rows.
    """
    rows = len(influence)
    if rows < 2:
        return None
    half = _student(rows - 1) * float(influence.std(ddof=1)) / math.sqrt(rows)
    size = abs(1 - value) if scale == "rest" else abs(value)
    if half and not half < _WIDEST * size:
        return None  # also where numbers are so large, or so close, that their squares are none
    if scale == "share":
        return _share(value, half, rows)
    if scale == "error":
        return (value * math.exp(-half / value), value * math.exp(half / value)) if value > 0 else (0.0, 0.0)
    left = 1 - value
    return (1 - left * math.exp(half / left), 1 - left * math.exp(-half / left)) if left > 0 else (1.0, 1.0)


def _share(value: float, half: float, rows: int) -> Interval:
    """On the logit scale. At its bounds a share varies in no row, and is as sure as all rows right, or all wrong."""
    if value <= 0 or value >= 1 or half == 0:
        return proportion(rows * min(1.0, max(0.0, value)), rows) or (0.0, 1.0)
    logit, width = math.log(value / (1 - value)), half / (value * (1 - value))
    return _logistic(logit - width), _logistic(logit + width)


def _logistic(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))  # which never overflows


def _student(freedom: int) -> float:
    """The 97.5 % point of Student's t, by the Cornish-Fisher expansion: within 1 % from 4 degrees of freedom on."""
    z = Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
