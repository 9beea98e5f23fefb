"""How many events there were, and how many of them bad, in windows from seconds to days: in bounded memory.

What is kept is the total since the first second, as it was at the end of each of the last seconds, minutes and hours:
a window is the difference of two totals, however long it is. A second costs one entry; three days take 34 kB.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

__all__ = ["PERIOD_S", "Counted", "Windows"]

PERIOD_S = 3 * 86400
"""The longest window. Error budgets are for that long, too: few deployments of a notebook live for a month."""

_FIELDS = 4
_RINGS = ((1, 361), (60, 362), (3600, 74))
"""Seconds between two totals, and how many are kept: six minutes, six hours, three days, and one or two more."""


class Counted(NamedTuple):
    """What a window had: events, bad ones among them, and in how many seconds there were any of either."""

    events: int
    bad: int
    asked_s: int
    bad_s: int


class Windows:
    """The windows that end with the second that was added last. Nothing is known before the second `since`."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.now = since - 1
        self._total = [0] * _FIELDS
        self._rings = [(step, size, array("q", bytes(8 * _FIELDS * size))) for step, size in _RINGS]

    @property
    def age_s(self) -> int:
        """How long it is since the first second."""
        return self.now - self.since + 1

    def add(self, second: int, events: int, bad: int, asked_s: int = -1, bad_s: int = -1) -> None:
        """Count a second, later than those before it. Seconds left out had nothing.

        A whole minute may be told with its last second: then `asked_s` and `bad_s` say how many seconds of it had any.
        """
        if second <= self.now:
            return  # the clock was set back: what is counted already is not counted twice
        if second > self.now + 1:
            self.skip(second - 1)
        total = self._total
        total[0] += events
        total[1] += bad
        total[2] += (events > 0) if asked_s < 0 else asked_s
        total[3] += (bad > 0) if bad_s < 0 else bad_s
        self.now = second
        self._store(second)

    def skip(self, second: int) -> None:
        """Let the time pass up to a second of which nothing is known."""
        before, self.now = self.now, max(self.now, second)
        for step, size, ring in self._rings:
            for index in range(max(before // step + 1, second // step - size + 1), second // step + 1):
                at = index % size * _FIELDS
                ring[at : at + _FIELDS] = array("q", self._total)

    def over(self, seconds: int) -> Counted:
        """The last `seconds`: exact up to six minutes, then to the minute, and over six hours to the hour.

        Where there are fewer since the first, it is all of them.
        """
        total = self._total
        if seconds >= self.age_s:
            return Counted(*total)
        start = self.now - seconds
        for step, size, ring in self._rings:
            if (self.now - start) // step < size - 1:
                index = start // step
                at = index % size * _FIELDS
                events, bad, asked_s, bad_s = total
                return Counted(events - ring[at], bad - ring[at + 1], asked_s - ring[at + 2], bad_s - ring[at + 3])
        return Counted(*total)

    def _store(self, second: int) -> None:
        """Note the total in each ring: the entry of a minute is that of its last second."""
        events, bad, asked_s, bad_s = self._total
        for step, size, ring in self._rings:
            at = second // step % size * _FIELDS
            ring[at] = events
            ring[at + 1] = bad
            ring[at + 2] = asked_s
            ring[at + 3] = bad_s
