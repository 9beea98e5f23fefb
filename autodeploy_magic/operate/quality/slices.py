"""Slices: the rows whose column has one value, or lies in one fifth of its range, and that are answered worse.

A column of few values is sliced by each of them, one of more numbers by its quintiles; a gap is a value too. A slice is
told where it is worse than the rest of the rows by more than chance: errors by the hypergeometric test (Fisher's exact
test, one-sided), absolute errors by the rank-sum test (Wilcoxon, Mann-Whitney). So many slices are looked at that one
would seem bad by chance: Holm's step-down method (1979) holds the probability that any is told wrongly at 1 % a look,
however the columns depend on each other.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.health import Slice
from autodeploy_magic.operate.quality.columns import Columns
from autodeploy_magic.operate.quality.rows import Rows

__all__ = ["LEAST", "MOST_VALUES", "all_slices", "worst_slices"]

LEAST = 20
"""Labels that a slice needs to be told of."""
MOST_VALUES = 10
"""Values of a column that are looked at: the most frequent."""
TOLD = 8
WRONGLY = 0.01
"""The probability that one look tells any slice though none is worse."""
_QUINTILES = (0.2, 0.4, 0.6, 0.8)
_CLASSES = 50
"""Texts from which on a column has too many to be one of classes."""

Array = NDArray[Any]


class _Groups(NamedTuple):
    """A column's slices: their words, and for each row which one it is in; -1 for none."""

    words: list[str]
    of: Array


def worst_slices(rows: Rows, columns: Columns, positive: str | None) -> tuple[Slice, ...]:
    """The slices that are worse than the rest, and not by chance; the worst first, `TOLD` at most."""
    loss = rows.loss
    if not len(loss) or loss.max() == loss.min():
        return ()
    mean = float(loss.mean())
    ranks = None if rows.kind != "numbers" else _ranks(loss)
    found: list[tuple[float, float, str, _Groups, int]] = []
    for name in columns.names():
        groups = _groups(*_of(columns, name, rows))
        inside = groups.of >= 0
        counts = np.bincount(groups.of[inside], minlength=len(groups.words))
        losses = np.bincount(groups.of[inside], loss[inside], len(groups.words))
        sums = losses if ranks is None else np.bincount(groups.of[inside], ranks[inside], len(groups.words))
        for place in np.flatnonzero((counts >= LEAST) & (counts < len(loss))).tolist():
            count = int(counts[place])
            chance = 1.0
            if losses[place] / count > mean:
                chance = _chance(float(sums[place]), count, len(loss), None if ranks is not None else loss.sum())
            found.append((chance, losses[place] / count, name, groups, place))
    found.sort(key=lambda one: one[0])
    told = []
    for index, one in enumerate(found):
        if one[0] > WRONGLY / (len(found) - index):
            break
        told.append(one)
    told.sort(key=lambda one: -one[1])
    return tuple(_slice(rows, name, groups, place, positive) for _, _, name, groups, place in told[:TOLD])


def all_slices(rows: Rows, columns: Columns, name: str, positive: str | None) -> tuple[Slice, ...]:
    """Every slice of one column, in the order of its values; () for one of free text, or of which nothing is known."""
    if name not in columns.names():
        return ()
    groups = _groups(*_of(columns, name, rows))
    return tuple(_slice(rows, name, groups, place, positive) for place in range(len(groups.words)))


def _of(columns: Columns, name: str, rows: Rows) -> tuple[Array, list[str] | None]:
    values, texts = columns.of(name)
    return values[rows.slots], texts


def _slice(rows: Rows, name: str, groups: _Groups, place: int, positive: str | None) -> Slice:
    chosen = np.flatnonzero(groups.of == place)
    return Slice(
        column=name, value=groups.words[place], labels=len(chosen), figures=rows.take(chosen).figures(positive)
    )


def _groups(values: Array, texts: list[str] | None) -> _Groups:
    missing = np.isnan(values)
    there = values[~missing]
    of = np.full(len(values), -1)
    words: list[str] = []
    ordered = np.sort(there)
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=np.nan))]  # nan: the first is other than what is before
    if texts is not None and len(distinct) > _CLASSES:
        return _Groups([], of)
    if texts is not None or len(distinct) <= MOST_VALUES:
        place = np.searchsorted(distinct, there)
        counts = np.bincount(place, minlength=len(distinct))
        kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
        number = np.full(len(distinct), -1)
        number[kept] = np.arange(len(kept))
        of[~missing] = number[place]
        words = [_word(distinct[i], texts) for i in kept.tolist()]
    else:
        edges = np.unique(ordered[[int(share * (len(ordered) - 1)) for share in _QUINTILES]])
        edges = edges[edges < ordered[-1]]
        of[~missing] = np.searchsorted(edges, there)
        shown = [f"{edge:.4g}" for edge in edges]
        words = [f"≤ {shown[0]}"] if shown else ["all"]
        words += [f"{low} – {high}" for low, high in pairwise(shown)]
        words += [f"> {shown[-1]}"] if shown else []
    if missing.any():
        of[missing] = len(words)
        words.append("missing")
    return _Groups(words, of)


def _word(value: float, texts: list[str] | None) -> str:
    return f"{value:.6g}" if texts is None else texts[int(value)][:60]


# --- chance


def _chance(inside: float, count: int, rows: int, errors: float | None) -> float:
    """How probable a slice of `count` of the rows is to be as bad or worse by chance.

    `inside` is the number of its errors, of `errors` in all; or, where that is None, the sum of its ranks.
    """
    if errors is None:
        mean = count * (rows + 1) / 2
        spread = math.sqrt(count * (rows - count) * (rows + 1) / 12)
        return 0.5 * math.erfc((inside - mean) / spread / math.sqrt(2))
    return _hypergeometric(round(inside), rows, round(errors), count)


def _hypergeometric(least: int, rows: int, errors: int, drawn: int) -> float:
    """How probable `least` or more errors are among rows that are `drawn` by chance."""
    log = _log_factorials(rows)
    x = np.arange(max(least, drawn + errors - rows), min(errors, drawn) + 1)
    logs = log[errors] - log[x] - log[errors - x] + log[rows - errors]
    logs = logs - log[drawn - x] - log[rows - errors - drawn + x] - log[rows] + log[drawn] + log[rows - drawn]
    return min(1.0, float(np.exp(logs).sum()))


@lru_cache(maxsize=2)
def _log_factorials(most: int) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


def _ranks(values: Array) -> Array:
    """The rank of each value, from 1; equal ones have their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = ends - (counts - 1) / 2
    return np.asarray(middle[inverse])
