"""Histograms that can be merged: of latencies, from which percentiles are read.

A histogram is sparse: bucket i holds the answers that took between GAMMA^(i-1) and GAMMA^i seconds, so that a quantile
read from it is within 1 % of the true one, and two histograms are merged by adding their counts (DDSketch: Masson, Rim
and Lee, VLDB 2019). Percentiles are never averaged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["GAMMA", "Histogram", "bucket", "merge", "quantile", "quantiles", "upper_s"]

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA = math.log(GAMMA)

Histogram = Mapping[int, int]


def bucket(seconds: float) -> int:
    """The bucket of a latency; anything below a microsecond counts as one."""
    return math.ceil(math.log(max(seconds, 1e-6)) / _LOG_GAMMA)


def merge(histograms: Iterable[Histogram]) -> Counter[int]:
    """Add histograms up."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return total


def quantile(histogram: Histogram, q: float) -> float | None:
    """The q-quantile (0 to 1) in seconds, within `RELATIVE_ERROR`; None for an empty histogram."""
    return quantiles(histogram, (q,))[0]


def quantiles(histogram: Histogram, ranks: Sequence[float]) -> tuple[float | None, ...]:
    """Several quantiles at once, each as `quantile` gives it; `ranks` (0 to 1) are ascending."""
    count = sum(histogram.values())
    if count == 0:
        return (None,) * len(ranks)
    indexes = iter(sorted(histogram))
    found: list[float] = []
    seen = index = 0
    for rank in ranks:
        while seen <= rank * (count - 1):
            index = next(indexes)
            seen += histogram[index]
        found.append(2 * GAMMA**index / (GAMMA + 1))
    return tuple(found)


def upper_s(index: int) -> float:
    """The longest latency in seconds that falls into a bucket."""
    return float(GAMMA**index)
