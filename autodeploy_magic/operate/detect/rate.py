"""Requests stop coming though they always come at this time, or many times more come than ever.

Who asks nothing has no fault to be told of, so silence counts only where requests came steadily for half an hour. How
long they may stay away without meaning anything is learned: three times the longest silence there was, and as long as
chance alone would make once in a million times. A silence that was there at the same time of one of the last seven days
(a night, a weekend) is usual.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from autodeploy_magic.health import Finding
from autodeploy_magic.operate.detect.base import About, Moment
from autodeploy_magic.operate.detect.disk import NONE_LEFT
from autodeploy_magic.operate.detect.holding import Clock, Holding

__all__ = ["RateDetector"]

STEADY_S, STEADY_REQUESTS = 1800.0, 900.0
DROP = 0.1
"""A tenth of the usual rate counts as silence."""
SHORTEST_S, GAPS = 6.0, 3.0
LONGEST_S = 600.0
"""Who is silent for so long now and then is not steady."""
EXPECTED = 14.0
"""So many requests would have come in a silence: by chance none of them does once in e^14 = 1.2 million times."""
FLOOD, FLOOD_S, FLOOD_RATE = 5.0, 10.0, 10.0
"""So many times the highest rate there was, for so long, and so many requests a second at least."""
MEMORY_S, NOW_S, PEAK_S = 300.0, 5.0, 6 * 3600.0
LATER_S = 30
"""A rate counts as one that there was half a minute later: a flood must not raise what it is compared with."""
FORGET_S = 3600.0
SLOT_S, DAYS = 900, 7
_DAY_SLOTS = 24 * 3600 // SLOT_S


class RateDetector:
    """Follows the usual rate over five minutes, the present one over five seconds, and the highest over six hours."""

    about = About(
        help="requests stop coming though they came steadily, or come many times more often than ever",
        defaults="a drop by 90 % after 30 minutes of steady requests: 6 s, 14 requests that were expected, and 3 times "
        "the longest silence; not where the same time of the last 7 days was silent; a flood is 5 times the highest "
        "rate of 6 hours, 10 requests/s at least, for 10 s",
        detects="drop to 0: 6 s at 10 requests/s and more, 9 s at 2, 21 s at 1 request/s",
        cost="4 µs",
    )

    def __init__(self, name: str) -> None:
        self._clock = Clock()
        self._days: dict[int, float] = {}
        self._start()

    def _start(self) -> None:
        self._usual = self._now = self._peak = 0.0
        self._steady_s = self._came = 0.0
        self._silent_s = self._expected = self._longest_s = 0.0
        self._newest: deque[float] = deque(maxlen=LATER_S)
        self._over = Holding(0.0, 10.0)
        self._flood = Holding(FLOOD_S, 30.0)

    def see(self, moment: Moment) -> Iterator[Finding]:
        passed_s = self._clock.tick(moment.t)
        if moment.desired.state != "running" or moment.status.state not in ("running", "degraded"):
            self._start()
            return
        full = moment.used is not None and 0 <= moment.used.disk_free_bytes < NONE_LEFT  # no request is written down
        if moment.answers is None or passed_s == 0 or self._clock.gap or full:
            return
        rate = moment.answers.requests / passed_s
        self._note_slot(moment.t, rate, passed_s)
        self._now += min(1.0, passed_s / NOW_S) * (rate - self._now)
        dropped = self._see_drop(moment.t, rate, passed_s)
        flooded = self._see_flood(passed_s)
        if not dropped and not flooded:
            self._learn(rate, passed_s)
        if dropped:
            yield _finding(
                "rate",
                self._now,
                DROP * self._usual,
                f"Requests stopped coming {self._silent_s:.0f} s ago: {self._now:.1f} a second, usual are "
                f"{self._usual:.1f}",
            )
        if flooded:
            yield _finding(
                "rate:flood",
                self._now,
                FLOOD * self._peak,
                f"{self._now:.0f} requests a second come, {self._now / self._peak:.0f} times the most in six hours "
                f"({self._peak:.1f})",
            )

    def _see_drop(self, t: int, rate: float, passed_s: float) -> bool:
        if self._usual <= 0:
            return False
        # At a request a second one is no tenth of the usual: a silence is over when as many came as are usual.
        quiet = rate < DROP * self._usual if self._usual > 10 else self._now < DROP * self._usual or rate == 0
        if not quiet:
            if not self._over.see(passed_s, False):
                self._longest_s = max(self._longest_s, min(self._silent_s, LONGEST_S))
                self._silent_s = self._expected = 0.0
            return self._over.on
        self._silent_s += passed_s
        self._expected += self._usual * passed_s
        if self._over.on:
            if self._silent_s > FORGET_S:
                self._start()
                return False
            return self._over.see(passed_s, True)
        enough_s = max(SHORTEST_S, GAPS * self._longest_s)
        if self._silent_s > LONGEST_S or self._steady_s < STEADY_S or self._came < STEADY_REQUESTS:
            return False
        if self._silent_s < enough_s or enough_s > LONGEST_S:
            return False
        # The usual rate is itself an estimate, of the requests of twice its memory: three standard errors are allowed.
        error = 3 / math.sqrt(2 * MEMORY_S * self._usual)
        if self._expected < EXPECTED * (1 + error) or self._known_quiet(t):
            return False
        return self._over.see(passed_s, True)

    def _see_flood(self, passed_s: float) -> bool:
        if self._steady_s < STEADY_S or self._peak <= 0:
            return False
        self._flood.see(passed_s, self._now > max(FLOOD * self._peak, FLOOD_RATE))
        if self._flood.on_for_s > FORGET_S:
            self._peak = self._now
        if self._flood.on:
            self._newest.clear()
        return self._flood.on

    def _learn(self, rate: float, passed_s: float) -> None:
        self._steady_s += passed_s
        self._came += rate * passed_s
        if self._silent_s > LONGEST_S:  # nobody has asked for long: it begins anew
            self._start()
            return
        if self._silent_s == 0 or self._usual <= 10:
            self._usual += min(1.0, passed_s / min(MEMORY_S, self._steady_s)) * (rate - self._usual)
        self._peak -= self._peak * passed_s / PEAK_S
        self._longest_s -= self._longest_s * passed_s / PEAK_S
        if len(self._newest) == LATER_S:
            self._peak = max(self._peak, self._newest[0])
        self._newest.append(self._now)

    def _note_slot(self, t: int, rate: float, passed_s: float) -> None:
        """Remember the mean rate of each quarter of an hour of the last days."""
        slot = t // SLOT_S
        self._days[slot] = self._days.get(slot, 0.0) + rate * passed_s / SLOT_S
        if len(self._days) > DAYS * _DAY_SLOTS:
            newest = max(self._days)
            self._days = {one: mean for one, mean in self._days.items() if newest - DAYS * _DAY_SLOTS < one <= newest}

    def _known_quiet(self, t: int) -> bool:
        """Whether at this time of one of the last days, within half an hour, it was as quiet."""
        slot = t // SLOT_S
        times = (slot - day * _DAY_SLOTS + near for day in range(1, DAYS + 1) for near in (-2, -1, 0, 1, 2))
        return any(self._days.get(one, math.inf) < DROP * self._usual for one in times)


def _finding(rule: str, value: float, limit: float, text: str) -> Finding:
    return Finding(rule=rule, detector="rate", metric="rate", severity="warning", text=text, value=value, limit=limit)
