"""How fast an error budget burns, and when that is worth telling: multi-window, multi-burn-rate alerts.

An objective allows a share of bad events: 1 % with p99<50ms, 0.1 % with errors<0.1%. The burn rate is how many times
that share is used. An alert needs it over two windows: a long one, so that it matters, and a short one, so that it goes
on now. The last three rows of `PAIRS` are table 5-8 of the SRE workbook (https://sre.google/workbook/alerting-on-slos/),
made for services that are months old and have a crew on call. What a deployment of a notebook needs besides:

- It may be minutes old. A long window is never longer than the version's age, and the short one stays the same part of
  it, but not under 10 s, which are too few to say anything. Rows of the book are used from one minute on.
- It may have few requests: one slow answer of ten burns a p99 ten times too fast, and means nothing. An alert needs at
  least `LEAST_BAD` bad events, and more than chance would bring were the objective just kept: Chernoff's bound for so
  many bad of so many events has to be under one in a million (Hoeffding 1963, theorem 1). With 86,400 looks a day, of
  which a few thousand are independent, that is less than one false alarm in a hundred days, at any rate of requests.
- One second is no outage: a garbage collection, a laptop's lid. Bad events have to be in five seconds at least; where
  nothing was asked for in so many, in half of those that had any.
- It has to go back by itself within seconds: a broken version is no matter for the next morning. The first two rows
  tell within 15 s. 14.4 times is critical; 3 times is a warning, but for a version in its first five minutes, which has
  earned no credit.
- Some objectives allow much: half of the answers with p50. 14.4 times one half cannot be; so no row asks for more than
  halfway between the allowed share and all events.
- It ends when it is over. A row ends at half of its rate, and holds for 30 s or its short window, five minutes at most,
  so that what hovers about it makes one alert, and not a storm. It ends sooner, after 30 s, once a minute in which at
  least seven bad events were due had no more than are allowed: by chance that happens once in a thousand times.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from autodeploy_magic.health import Severity
from autodeploy_magic.operate.slo.windows import PERIOD_S, Counted, Windows

__all__ = ["BOOK_FAST_S", "LEAST_BAD", "PAIRS", "Alarm", "Burn", "Pair", "burn_rate", "evidence"]


class Pair(NamedTuple):
    """Two windows in seconds, and the burn rate that both have to reach."""

    long_s: int
    short_s: int
    factor: float
    severity: Severity


PAIRS = (
    Pair(15, 5, 14.4, "critical"),
    Pair(30, 10, 3.0, "warning"),
    Pair(3600, 300, 14.4, "critical"),
    Pair(6 * 3600, 1800, 6.0, "critical"),
    Pair(PERIOD_S, 6 * 3600, 1.0, "warning"),
)
"""The rows, the fastest first; see the module."""

BOOK_FAST_S = 3600
"""The long window of the book's fastest row: what is shown as "fast" beside the whole period."""
LEAST_BAD = 5
LEAST_EVIDENCE = math.log(1e6)
_OURS_S = 30  # rows up to this long are not of the book
_BOOK_FROM_S = 60
_BOOK_EVERY_S = 5  # windows of an hour and more need no look each second
_SHORTEST_S = 10
_YOUNG_S = 300
_SECONDS = 5
_HOLD_S, _HOLD_MOST_S = 30, 300
_OVER_S, _OVER_DUE = 60, 7


class Alarm(NamedTuple):
    """A row that tells: over the last `long_s` there was `counted`, `rate` times what is allowed."""

    severity: Severity
    long_s: int
    counted: Counted
    rate: float
    since: int


def burn_rate(counted: Counted, allowed: float) -> float | None:
    """How many times the allowed share was used; None where there was no event."""
    return counted.bad / counted.events / allowed if counted.events else None


def evidence(events: int, bad: int, allowed: float) -> float:
    """-ln of the most that chance gives to so many bad of so many events, or more, where `allowed` is their share.

    P(X ≥ bad) ≤ exp(-events · KL(bad/events ‖ allowed)): Hoeffding, "Probability inequalities for sums of bounded
    random variables", 1963, theorem 1.
    """
    if not events or bad <= allowed * events:
        return 0.0
    share = bad / events
    good = (1 - share) * math.log((1 - share) / (1 - allowed)) if share < 1 else 0.0
    return events * (share * math.log(share / allowed) + good)


class Burn:
    """One objective's budget of one version: its windows, and which rows tell now. `allowed` is a share, 0 to 1."""

    def __init__(self, allowed: float, since: int) -> None:
        self.allowed = allowed
        self.windows = Windows(since)
        self._told = [0] * len(PAIRS)
        most = (1 + 1 / allowed) / 2
        self._shares = [min(pair.factor, most) * allowed for pair in PAIRS]

    def rate(self, seconds: int) -> float | None:
        """The burn rate of the last `seconds`."""
        return burn_rate(self.windows.over(seconds), self.allowed)

    def look(self) -> Alarm | None:
        """The gravest row that tells now, and of those the fastest; None where none does. Ask once a second."""
        windows, told = self.windows, self._told
        now, age = windows.now, windows.age_s
        book = age >= _BOOK_FROM_S and now % _BOOK_EVERY_S == 0
        ours = windows.over(_OURS_S).bad >= LEAST_BAD
        if not book and not ours and not any(told):
            return None
        for i, pair in enumerate(PAIRS):
            if told[i]:
                if self._ended(i, pair, now, age):
                    told[i] = 0
            elif (ours if pair.long_s <= _OURS_S else book) and self._begins(i, pair, age):
                told[i] = now
        telling = [i for i in range(len(PAIRS)) if told[i]]
        return min(map(self._alarm, telling), key=lambda alarm: alarm.severity != "critical") if telling else None

    def _begins(self, i: int, pair: Pair, age: int) -> bool:
        long_s, short_s = _shrunk(pair, age)
        long, share = self.windows.over(long_s), self._shares[i]
        if long.bad < LEAST_BAD or long.bad < share * long.events:
            return False
        short = self.windows.over(short_s)
        if not short.bad or short.bad < share * short.events:
            return False
        few = long.asked_s < _SECONDS and age >= 2 * _SECONDS
        lasted = long.bad_s >= _SECONDS or (few and 2 * long.bad_s >= long.asked_s)
        return lasted and evidence(long.events, long.bad, self.allowed) >= LEAST_EVIDENCE

    def _ended(self, i: int, pair: Pair, now: int, age: int) -> bool:
        held, share = now - self._told[i], self._shares[i]
        if held < _HOLD_S:
            return False
        minute = self.windows.over(_OVER_S)
        if share * minute.events >= _OVER_DUE and minute.bad <= min(self.allowed, share / 2) * minute.events:
            return True
        long_s, short_s = _shrunk(pair, age)
        window = self.windows.over(long_s if pair.long_s <= _OURS_S else short_s)
        return held >= min(short_s, _HOLD_MOST_S) and window.bad <= share / 2 * window.events

    def _alarm(self, i: int) -> Alarm:
        pair = PAIRS[i]
        long_s, _ = _shrunk(pair, self.windows.age_s)
        counted = self.windows.over(long_s)
        young = self.windows.age_s <= _YOUNG_S and pair.factor > 1
        severity: Severity = "critical" if young else pair.severity
        return Alarm(severity, long_s, counted, burn_rate(counted, self.allowed) or 0.0, self._told[i])


def _shrunk(pair: Pair, age: int) -> tuple[int, int]:
    """The windows of a pair for a version so old."""
    if age >= pair.long_s:
        return pair.long_s, pair.short_s
    return age, min(age, max(min(_SHORTEST_S, pair.short_s), pair.short_s * age // pair.long_s))
