"""Two models on the same rows: which of them is better, and how sure that is. All arrays are numpy's.

mcnemar_p        Q. McNemar, Psychometrika 12 (1947), exact: the rows that only one answers right are a coin's throws
most_loss        T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
                 paired-sample design", Statistics in Medicine 17 (1998): a score interval, right for small counts too
most_share       C. Clopper, E. Pearson, Biometrika 26 (1934): the exact upper bound of a share
most_mean        A. Maurer, M. Pontil, "Empirical Bernstein bounds and sample variance penalization", COLT (2009):
                 of the mean of numbers within known bounds, whatever their distribution
mean_p           Student's t of the differences
resampled        B. Efron's bootstrap: rows are drawn again with their two answers together
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["SURE", "mcnemar_p", "mean_p", "most_loss", "most_mean", "most_share", "resampled"]

SURE = 0.05
"""The chance of being wrong that an upper bound has."""
_DRAWS = 2_000
_AT_ONCE = 2_000_000


def mcnemar_p(worse: int, better: int) -> float:
    """The chance of so many rows on which only the second model is right, or more, if neither were better."""
    from scipy.stats import binom

    return float(binom.sf(better - 1, worse + better, 0.5)) if worse + better else 1.0


def most_loss(worse: int, better: int, rows: int, sure: float = SURE) -> float:
    """The upper bound of how much less often the second model is right: `worse` rows only the first answers right."""
    from scipy.stats import norm

    if rows <= 0:
        return 1.0
    z = float(norm.isf(sure))
    low, high = (worse - better) / rows, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _score(worse, better, rows, middle) > -z else (low, middle)
    return high


def most_share(count: int, rows: int, sure: float = SURE) -> float:
    """The upper bound of a share of which `count` of `rows` were seen."""
    from scipy.stats import beta

    return 1.0 if count >= rows else float(beta.ppf(1 - sure, count + 1, rows - count))


def most_mean(values: Array, largest: float, sure: float = SURE) -> float:
    """The upper bound of the mean of numbers within 0 and `largest`."""
    n = len(values)
    if n < 2:
        return largest
    chance = math.log(2 / sure)
    spread = math.sqrt(2 * float(values.var(ddof=1)) * chance / n)
    return min(largest, float(values.mean()) + spread + 7 * largest * chance / (3 * (n - 1)))


def mean_p(gains: Array) -> float:
    """The chance of such a mean of the differences, or a larger one, if the true one were 0."""
    from scipy.stats import t

    n, spread = len(gains), float(gains.std(ddof=1)) if len(gains) > 1 else 0.0
    if n < 2:
        return 1.0
    if not spread > 0:
        return 0.0 if gains.mean() > 0 else 1.0
    return float(t.sf(float(gains.mean()) / (spread / math.sqrt(n)), n - 1))


def resampled(figure: Callable[[Array], Array], rows: int, seed: int, draws: int = _DRAWS) -> Array:
    """A figure of rows that are drawn anew, `draws` times, sorted.

    `figure` is given positions, shape (some, rows), and gives one number for each of them.
    """
    import numpy as np

    chance = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // max(rows, 1))
    sizes = [min(step, draws - start) for start in range(0, draws, step)]
    return np.sort(np.concatenate([figure(chance.integers(0, rows, (size, rows))) for size in sizes]))


def _score(worse: int, better: int, rows: int, loss: float) -> float:
    """Tango's statistic of a true loss: how many standard deviations the one that was seen lies above it."""
    a = 2 * rows
    b = -worse - better + (2 * rows - worse + better) * loss
    c = -better * loss * (1 - loss)
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = rows * (2 * share + loss * (1 - loss))
    return (worse - better - rows * loss) / math.sqrt(variance) if variance > 0 else math.inf
