"""How long a run of so many rows takes: what the build measured, corrected by what runs of about that size really took.

The record of a version gives a line through its one row and its batch. Each run then moves the correction of its size
(1, 2, 3-4, 5-8, … rows) a little; a size that has not been seen takes the correction of the nearest that has.
"""

from __future__ import annotations

import math

from autodeploy_magic.contracts import Version

__all__ = ["INLINE_S", "ServiceTime", "recorded"]

INLINE_S = 0.002
"""A run that takes less is made on the event loop: others wait for it hardly longer than they would for a thread that
holds the interpreter, and to hand it over and take its result back costs up to 0.1 ms."""
_BACK_S = 0.7 * INLINE_S
"""A size that went to the thread comes back to the loop when it takes less than this: at a clear difference only."""

_SIZES = 40
_WEIGHT = 0.1
"""Of the newest run in the moving average. A run that took very long, as when the process was not given the processor,
counts for `_MOST` times what was expected: one changes little, several in a row do."""
_MOST = 4.0
_LEAST = 0.25


class ServiceTime:
    """Seconds of a run as a function of its size. Infinite for all sizes until it is known of one."""

    __slots__ = ("_each_s", "_fixed_s", "_limits", "_nearest", "_ratios", "_seen")

    def __init__(self, fixed_s: float = math.inf, each_s: float = 0.0) -> None:
        self._fixed_s = fixed_s
        self._each_s = each_s
        self._limits = [INLINE_S] * _SIZES
        self._ratios = [1.0] * _SIZES
        self._nearest = [_SIZES - 1] * _SIZES  # a size that no run has: its correction stays 1
        self._seen: list[int] = []

    def predict(self, count: int) -> float:
        """Seconds that a run of `count` will take."""
        return (self._fixed_s + self._each_s * count) * self._ratios[self._nearest[(count - 1).bit_length()]]

    def line(self, count: int) -> float:
        """The same without corrections: for comparing two sizes of which only one was seen lately."""
        return self._fixed_s + self._each_s * count

    def is_short(self, count: int) -> bool:
        """Whether a run of `count` is short enough for the event loop."""
        size = (count - 1).bit_length()
        short = (self._fixed_s + self._each_s * count) * self._ratios[self._nearest[size]] <= self._limits[size]
        self._limits[size] = INLINE_S if short else _BACK_S
        return short

    def note(self, count: int, seconds: float) -> None:
        """A run of `count` took `seconds`."""
        size = (count - 1).bit_length()
        if self._nearest[size] != size:
            self._see(size, count, seconds)
        ratio = self._ratios[size]
        change = seconds / ((self._fixed_s + self._each_s * count) * ratio)
        if change > _MOST:
            change = _MOST
        elif change < _LEAST:
            change = _LEAST
        self._ratios[size] = ratio + ratio * _WEIGHT * (change - 1.0)

    def calibrate(self, count: int, seconds: float) -> None:
        """A run of `count` was measured to take `seconds`: believe it at once."""
        self.note(count, seconds)
        self._ratios[(count - 1).bit_length()] = seconds / (self._fixed_s + self._each_s * count)

    def _see(self, size: int, count: int, seconds: float) -> None:
        """The first run of its size: from here on the size has a correction of its own."""
        if self._fixed_s == math.inf:
            # Nothing is known of other sizes. A smaller run may take half of it, a larger one half of what is linear.
            self._fixed_s = seconds / 2
            self._each_s = seconds / 2 / count
        self._ratios[size] = self._ratios[self._nearest[size]]
        self._seen.append(size)
        self._nearest = [min(self._seen, key=lambda seen: abs(seen - other)) for other in range(_SIZES)]


class _Long(ServiceTime):
    """Of a version whose runs take as long as a request makes them, whatever the sample took."""

    __slots__ = ()

    def is_short(self, count: int) -> bool:
        return False


def recorded(version: Version) -> ServiceTime:
    """What the build measured of the format that `version` serves: a line from one row to the batch.

    A generator may give any number of items, and a picture may have any size: those are never run on the event loop.
    """
    streams = any(output.streams for output in version.outputs)
    pictures = any(column.dtype == "image" for column in version.signature.columns)
    kind = _Long if streams or pictures else ServiceTime
    kept = (version.format, version.provider)
    chosen = next((item for item in version.candidates if (item.format, item.provider) == kept), None)
    one_s = chosen.one_row_s if chosen is not None else None
    if chosen is None or not one_s:
        return kind()
    if not chosen.batch_s or chosen.batch_rows <= 1:
        return kind(0.0, one_s)
    each_s = min(max(chosen.batch_s - one_s, 0.0) / (chosen.batch_rows - 1), one_s)
    return kind(one_s - each_s, each_s)
