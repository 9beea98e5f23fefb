"""The latencies of one version's last minutes, from which quantiles are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from autodeploy_magic.metrics.histogram import GAMMA, Histogram, merge

__all__ = ["RECENT_S", "Recent"]

RECENT_S = 300
BLOCK_S = 5


class Recent:
    """The histograms of the last five minutes, in blocks of five seconds, and their sum."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, dict[int, int]]] = deque()
        self._block: dict[int, int] = {}
        self._at = -1
        self._sum: dict[int, int] = {}

    def add(self, second: int, histogram: Histogram) -> None:
        """Add a second, and let go of what is too old."""
        at = second // BLOCK_S
        if at != self._at:
            self._turn(at)
        block = self._block
        get = block.get
        for index, count in histogram.items():
            block[index] = get(index, 0) + count

    def quantile(self, q: float, seconds: int = RECENT_S) -> float | None:
        """The q-quantile in seconds, of the last `seconds` and up to a block more; None where nothing was answered."""
        if seconds >= RECENT_S:
            return _quantile(merge((self._sum, self._block)), q)
        after = self._at - seconds // BLOCK_S - 1
        return _quantile(merge((self._block, *(block for at, block in self._blocks if at > after))), q)

    def _turn(self, at: int) -> None:
        """Begin another block."""
        total = self._sum
        if self._block:
            self._blocks.append((self._at, self._block))
            for index, count in self._block.items():
                total[index] = total.get(index, 0) + count
        while self._blocks and self._blocks[0][0] <= at - RECENT_S // BLOCK_S:
            for index, count in self._blocks.popleft()[1].items():
                left = total[index] - count
                if left:
                    total[index] = left
                else:
                    del total[index]
        self._at, self._block = at, {}


def _quantile(histogram: Mapping[int, int], q: float) -> float | None:
    """As `metrics.histogram.quantile`, sought from the top: most that are asked for are near it."""
    count = sum(histogram.values())
    if not count:
        return None
    above, most, found = 0, count - q * (count - 1), 0
    for index in sorted(histogram, reverse=True):
        if above >= most:
            break
        found = index
        above += histogram[index]
    return float(2 * GAMMA**found / (GAMMA + 1))
