"""When a condition has lasted long enough to be a fault, and when it has been away long enough to be none."""

from __future__ import annotations

__all__ = ["LATE_S", "Clock", "Holding"]

LATE_S = 3.0
"""Moments that are further apart than this have a gap between them, of which nothing is known."""


class Clock:
    """How many seconds passed since the last moment, in which what was seen then was still so.

    A gap counts as one second, and so does a clock that was set back: a duration is made of what was seen.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self.gap = False

    def tick(self, t: int) -> float:
        """Seconds from the last moment to this one, 0 for the same again; `gap` says that some were not seen."""
        last, self._last = self._last, t
        step = 1 if last is None else t - last
        self.gap = last is not None and not 0 <= step <= LATE_S
        return 1.0 if self.gap else float(step)


class Holding:
    """A fault is there from `on_s` seconds of its condition on, until the condition has been away for `off_s`."""

    def __init__(self, on_s: float, off_s: float) -> None:
        self._on_s = on_s
        self._off_s = off_s
        self._bad_s = self._good_s = 0.0
        self.on = False
        self.on_for_s = 0.0

    def see(self, passed_s: float, bad: bool | None) -> bool:
        """Whether it is there, `passed_s` after it was asked last. None: nothing is known, and nothing changes."""
        if bad is None:
            return self.on
        if bad:
            self._bad_s += passed_s
            self._good_s = 0.0
            if self._bad_s >= self._on_s:
                self.on = True
        else:
            self._good_s += passed_s
            self._bad_s = 0.0
            if self._good_s >= self._off_s:
                self.on = False
        self.on_for_s = self.on_for_s + passed_s if self.on else 0.0
        return self.on
