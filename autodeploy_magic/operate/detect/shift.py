"""Whether the level of a noisy series has risen, against what it was before.

A cumulative sum of log-likelihood ratios (E. S. Page, "Continuous inspection schemes", Biometrika 1954): each value
adds the evidence that the level is `rise` above its usual one rather than at it. The usual level and its spread are
learned as it goes, from values that were clipped to three spreads, so that outliers hardly count; one value adds `STEP`
at most, so that a spike is no change. Logarithms of what is measured are put in, and `rise` is that of a factor.

river's `PageHinkley` is the same sum about the mean of all that ever came, which a daily cycle moves away from; see
`benchmarks/detection.py --compare` for the figures of both.
"""

from __future__ import annotations

import math
from statistics import median

from autodeploy_magic.operate.detect.holding import Holding

__all__ = ["Shift"]

EVIDENCE = 14.0
"""Natural logarithm of the odds it takes: by chance once in e^14 = 1.2 million values."""
STEP = 2.0
FLOOR = 0.05
"""A level is never known better than this (5 % of what was measured)."""
_FIRST = 15


class Shift:
    """`see` it value by value. `usual` and `now` are levels; `now` follows within about `follow` values.

    It is told of after `warm` values at the earliest, until the level has been near its usual one for `off_s` seconds,
    or `forget_s` have passed: then the new level is the usual one.
    """

    def __init__(
        self,
        rise: float,
        *,
        memory: int = 600,
        warm: int = 120,
        off_s: float = 15.0,
        forget_s: float = 3600.0,
        follow: int = 10,
    ) -> None:
        self._rise = rise
        self._memory = memory
        self._warm = warm
        self._forget_s = forget_s
        self._follow = follow
        self._back = Holding(0.0, off_s)
        self._start()

    def _start(self) -> None:
        self._first: list[tuple[float, float]] = []
        self._count = 0
        self._spread2 = 0.0
        self._evidence = 0.0
        self.usual = self.now = 0.0
        self.on = False

    def see(self, passed_s: float, value: float, variance: float = 0.0) -> bool:
        """Whether the level is up. `variance` is what chance alone gives this value, known from how it was made."""
        if self._count < _FIRST:
            self._learn_first(value, variance)
            return False
        rest = value - self.usual
        self.now += (value - self.now) / self._follow
        known = variance + self._spread2 + FLOOR * FLOOR
        if self.on:
            self.on = self._back.see(passed_s, self.now - self.usual > self._rise / 4)
            if self._back.on_for_s > self._forget_s:
                self._start()
            return self.on
        step = self._rise * (rest - self._rise / 2) / known
        self._evidence = max(0.0, self._evidence + max(-STEP, min(STEP, step)))
        if self._evidence >= EVIDENCE and self._count >= self._warm:
            self._evidence = 0.0
            self.on = self._back.see(0.0, True)
            return True
        self._learn(rest, known, variance)
        return False

    def _learn_first(self, value: float, variance: float) -> None:
        self._first.append((value, variance))
        self._count += 1
        if self._count == _FIRST:
            self.usual = self.now = median(one for one, _ in self._first)
            spread = 1.4826 * median(abs(one - self.usual) for one, _ in self._first)
            self._spread2 = max(0.0, spread * spread - median(chance for _, chance in self._first))
            self._first = []

    def _learn(self, rest: float, known: float, variance: float) -> None:
        self._count += 1
        gain = 1 / min(self._count, self._memory)
        bound = 3 * math.sqrt(known)
        clipped = max(-bound, min(bound, rest))
        self.usual += gain * clipped
        self._spread2 = max(0.0, self._spread2 + gain * (clipped * clipped - variance - self._spread2))
