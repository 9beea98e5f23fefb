"""How much a labelled row counts in training: rare classes more, old rows less; and since when a model answers worse.

All arrays are numpy's. Weights have the mean 1, so that regularisation keeps its strength.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

__all__ = ["SURE", "Turn", "balanced", "by_age", "half_life", "imbalanced", "in_time", "turn"]

SURE = 0.01
"""The chance of seeing a turn where there is none, up to which one is believed."""

_FEWEST = 15
"""Rows that there must be before a turn, and after it."""
_RARE = 0.5
"""A class is rare below this share of what it would have if all were equally frequent."""


class Turn(NamedTuple):
    """A moment since which a model's errors are larger.

    `at` is the position among the rows in their order of time, `at_s` when the first row after it was asked; `before`
    and `after` are the mean errors, `chance` how likely such a difference is by chance alone.
    """

    at: int
    at_s: float
    before: float
    after: float
    chance: float


def balanced(codes: np.ndarray) -> np.ndarray:
    """Weights with which each class counts alike: n / (classes * rows of it), as scikit-learn's "balanced" does
    (G. King, L. Zeng: Logistic Regression in Rare Events Data, 2001).
    """
    import numpy as np

    _, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    weights: np.ndarray = len(place) / (len(counts) * counts[place])
    return weights


def imbalanced(codes: np.ndarray) -> bool:
    """Whether a class is rarer than half of what it would be if all were equally frequent."""
    import numpy as np

    counts = np.unique(codes, return_counts=True)[1]
    return len(counts) > 1 and bool(counts.min() < _RARE * len(codes) / len(counts))


def by_age(at_s: Sequence[float] | np.ndarray, half_life_s: float) -> np.ndarray:
    """Weights that halve with every `half_life_s` of age, counted from the newest row.

    Exponential forgetting, as of recursive least squares. A row of unknown age (0.0) counts as the oldest.
    """
    import numpy as np

    at = _known(at_s)
    weights = 0.5 ** ((at.max() - at) / max(half_life_s, 1e-9)) if len(at) else np.ones(0)
    weights = np.maximum(weights, np.finfo(np.float32).tiny)
    scaled: np.ndarray = weights / weights.mean() if len(at) else weights
    return scaled


def half_life(at_s: Sequence[float] | np.ndarray) -> float:
    """A quarter of the time that the rows with a known age span: the oldest of them count a sixteenth.

    0.0 where there is no time between them, and so no weighting by age.
    """
    import numpy as np

    known = np.asarray(at_s, dtype=np.float64)
    known = known[known > 0]
    return float(known.max() - known.min()) / 4 if len(known) > 1 else 0.0


def in_time(at_s: Sequence[float] | np.ndarray) -> np.ndarray:
    """The positions of the rows from the oldest to the newest; those of unknown age come first, as they stand."""
    import numpy as np

    order: np.ndarray = np.argsort(np.asarray(at_s, dtype=np.float64), kind="stable")
    return order


def turn(errors: Sequence[Any] | np.ndarray, at_s: Sequence[float] | np.ndarray, *, sure: float = SURE) -> Turn | None:
    """The last moment since which `errors` (1 for a wrong answer, or how far off it was) are larger on the mean.

    `errors` and `at_s` are in the order of time. The moment is where the cumulative sum of the errors is farthest below
    its straight line; whether it is one is told by the supremum of a Brownian bridge, whose one-sided tail is
    exp(-2 x^2) (E. S. Page, 1954; M. Csorgo, L. Horvath: Limit Theorems in Change-Point Analysis, 1997). Sought again
    after each turn that is found, so that the last of several is returned. None: there is none that is sure.
    """
    import numpy as np

    values, at = np.asarray(errors, dtype=np.float64), np.asarray(at_s, dtype=np.float64)
    found, start = None, 0
    while len(values) - start >= 2 * _FEWEST:
        part = values[start:]
        n, spread = len(part), float(part.std())
        if not spread > 0 or not math.isfinite(spread):
            break
        below = np.arange(1, n + 1) / n * part.sum() - part.cumsum()
        inner = below[_FEWEST - 1 : n - _FEWEST]
        if not len(inner):
            break
        place = int(np.argmax(inner)) + _FEWEST
        x = float(below[place - 1]) / (spread * math.sqrt(n))
        chance = math.exp(-2 * x * x) if x > 0 else 1.0
        if chance > sure:
            break
        at_turn = start + place
        found = Turn(at_turn, float(at[at_turn]), float(part[:place].mean()), float(part[place:].mean()), chance)
        start = at_turn
    return found


def _known(at_s: Sequence[float] | np.ndarray) -> np.ndarray:
    """The times, with the oldest that is known in the place of those that nobody knows."""
    import numpy as np

    at = np.array(at_s, dtype=np.float64)
    if (at > 0).any():
        at[~(at > 0)] = at[at > 0].min()
    return at
