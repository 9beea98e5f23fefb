"""How far two sets of counts are from each other, and whether chance can be the reason.

Counts are arrays (columns, cells); a cell that a column does not have is 0 in both and out of `used`.

psi(…)          population stability index: N. Siddiqi, "Credit Risk Scorecards" (Wiley 2006): below 0.1 the same,
                above 0.2 another population. Half a row is added to each cell, or one empty cell would make it infinite
noise(…)        what it is between two samples of the same population, on average: B. Yurdakul, "Statistical Properties
                of Population Stability Index" (Western Michigan University 2018): it is nearly
                chi²(cells − 1) · (1/n + 1/m)
homogeneity(…)  Pearson's chi² of two samples. Cells in which fewer than five rows are expected are put together, as
                W. Cochran (Biometrics 10, 1954) asks
ks(…)           Kolmogorov and Smirnov's two samples over the cells in their order, with M. Stephens' correction for
                small ones (J. R. Stat. Soc. B 32, 1970). Ties and cells make it careful, never rash
more_than(…)    the binomial tail: so many of `rows`, where a share of `at_most` is usual

scipy is imported by what gives a probability, and only then: a column whose index is small needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["homogeneity", "ks", "level", "more_than", "noise", "psi", "thinned", "usual"]

Counts = npt.NDArray[np.float64]

LOOKS_PER_DAY = 2 * 86_400
"""How often a column is looked at, at most: each second, over a short and a long window."""

FALSE_ALARMS_PER_DAY = 0.1
"""What chance may do in a day, all columns together."""


def level(columns: int) -> float:
    """The probability under which a column differs, where `columns` of them are looked at all day (Bonferroni)."""
    return FALSE_ALARMS_PER_DAY / (LOOKS_PER_DAY * max(columns, 1))


def psi(reference: Counts, counts: Counts, used: npt.NDArray[np.bool_]) -> Counts:
    """The index of each column; see the module."""
    cells = used.sum(axis=-1, keepdims=True)
    was = np.where(used, (reference + 0.5) / (reference.sum(axis=-1, keepdims=True) + 0.5 * cells), 1.0)
    now = np.where(used, (counts + 0.5) / (counts.sum(axis=-1, keepdims=True) + 0.5 * cells), 1.0)
    result: Counts = ((now - was) * np.log(now / was)).sum(axis=-1)
    return result


def noise(reference: Counts, counts: Counts, used: npt.NDArray[np.bool_]) -> Counts:
    """What `psi` is on average where nothing differs; see the module."""
    rows = 1 / np.maximum(reference.sum(axis=-1), 1) + 1 / np.maximum(counts.sum(axis=-1), 1)
    result: Counts = (used.sum(axis=-1) - 1) * rows
    return result


def homogeneity(reference: Counts, counts: Counts) -> float:
    """The probability of a chi² as large, for one column; 1.0 where too few rows are there to say."""
    from scipy.special import chdtrc

    n, m = counts.sum(), reference.sum()
    together = reference + counts
    if min(n, m) < 5:
        return 1.0
    expected = together * min(n, m) / (n + m)
    rare = expected < 5
    kept = ~rare
    was, now = _with_rest(reference, rare, kept), _with_rest(counts, rare, kept)
    if expected[rare].sum() < 5:
        was, now = was[:-1], now[:-1]
    if len(was) < 2:
        return 1.0
    n, m = now.sum(), was.sum()
    both = was + now
    away = (now * np.sqrt(m / n) - was * np.sqrt(n / m)) ** 2 / both
    return float(chdtrc(len(was) - 1, away.sum()))


def _with_rest(counts: Counts, rare: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_]) -> Counts:
    return np.append(counts[kept], counts[rare].sum())


def ks(reference: Counts, counts: Counts) -> float:
    """The probability of cumulated shares as far apart, for one column whose cells are in order."""
    from scipy.special import kolmogorov

    n, m = counts.sum(), reference.sum()
    if min(n, m) < 5:
        return 1.0
    apart = np.abs(np.cumsum(counts) / n - np.cumsum(reference) / m).max()
    root = np.sqrt(n * m / (n + m))
    return float(kolmogorov((root + 0.12 + 0.11 / root) * apart))


def usual(found: float, rows: float) -> float:
    """The largest share that `found` of `rows` leave likely (Clopper and Pearson's bound, 99 %)."""
    from scipy.special import betaincinv

    if rows <= 0 or found >= rows:
        return 1.0
    if found == 0:
        return float(1.0 - 0.01 ** (1.0 / rows))
    return float(betaincinv(found + 1, rows - found, 0.99))


def more_than(found: float, rows: float, at_most: float) -> float:
    """The probability of `found` or more of `rows`, where each is one with the probability `at_most`."""
    from scipy.special import betainc

    if found <= 0 or at_most >= 1:
        return 1.0
    return float(betainc(found, rows - found + 1, max(at_most, 0.0)))


def thinned(values: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the values, evenly spread: a sample may be sorted."""
    if len(values) <= most:
        return list(values)
    step = len(values) / most
    return [values[int(i * step)] for i in range(most)]
