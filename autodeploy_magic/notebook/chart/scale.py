"""From values and times to pixels, with the ticks that people read: 1-2-5 steps, whole minutes, hours and days."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["Scale", "linear", "logarithmic", "times"]

Tick = tuple[float, str]


@dataclass(frozen=True)
class Scale:
    """Where a value stands between `low` and `high`, as a share of the way; and what is written along it."""

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low * 1e-3))
        return (value - low) / (high - low) if high > low else 0.0


def linear(highest: float | None, text: Callable[[float], str], *, least: float, wanted: int = 3) -> Scale:
    """A scale from zero to a round number above `highest`, which is at least `least`."""
    top = max(highest or 0.0, least) * 1.08
    step = _nice(top / wanted)
    high = math.ceil(top / step - 1e-9) * step
    count = round(high / step)
    return Scale(0.0, high, tuple((i * step, text(i * step)) for i in range(count + 1)))


def logarithmic(values: Iterable[float], text: Callable[[float], str]) -> Scale:
    """A logarithmic scale around positive values, with a factor of six at least from end to end: two ticks."""
    found = [value for value in values if value > 0]
    if not found:
        return Scale(0.001, 0.01, (), log=True)
    low, high = min(found) / 1.15, max(found) * 1.15
    if high / low < 6:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(6), middle * math.sqrt(6)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = (1, 2, 5) if high / low < 60 else (1, 3) if high / low < 1000 else (1,)
    marks = [factor * 10.0**decade for decade in decades for factor in every]
    return Scale(low, high, tuple((mark, text(mark)) for mark in marks if low <= mark <= high), log=True)


def times(start_s: float, end_s: float, *, wanted: int = 6) -> Scale:
    """A scale of time, with ticks at whole local minutes, hours or days."""
    span = max(end_s - start_s, 1.0)
    step = next((step for step in _STEPS if span / step <= wanted), 7 * 86400)
    offset = time.localtime(start_s).tm_gmtoff or 0
    first = math.ceil((start_s + offset) / step) * step - offset
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%b %d"
    count = int((end_s - first) // step) + 1 if end_s >= first else 0
    marks = [first + i * step for i in range(count)]
    return Scale(start_s, end_s, tuple((mark, time.strftime(form, time.localtime(mark))) for mark in marks))


_STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)


def _nice(rough: float) -> float:
    """The round number nearest above."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
