"""A window of a deployment as points in time: from its seconds where it is short, from its minutes where it is long.

Percentiles are read from histograms that were merged over workers, versions and seconds, and never averaged.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.live import COLUMNS, Series
from autodeploy_magic.metrics.points import LATE_S
from autodeploy_magic.metrics.resources import KEEP_S
from autodeploy_magic.metrics.window import MINUTE, Window, read

__all__ = ["MOST_POINTS", "series"]

MOST_POINTS = 2000


def series(
    file: Path,
    name: str,
    seconds: float,
    points: int,
    until: float | None = None,
    *,
    version: int | None = None,
    recorded: bool = True,
) -> Series:
    """The `seconds` before `until` (since the epoch; None: now) in at most `points` points, from `metrics.sqlite`.

    A point covers whole seconds, and starts at a multiple of how many. The last one may be under way: its rates are
    means over the seconds of it that are complete, and those that are not are left out. `version` and `recorded`: see
    `window.read`. Raises `InvalidOption` or `StoreFailed`.
    """
    if not 1 <= points <= MOST_POINTS or not seconds >= 1:
        raise InvalidOption(
            f"a series of {seconds:g} s in {points} points cannot be made",
            why=f"it has at least a second, and 1 to {MOST_POINTS} points",
            fix="ask for `seconds=300, points=300`",
        )
    window = _window(seconds, points, until, time.time())
    return Series(
        name=name,
        start_s=float(window.start),
        step_s=float(window.step),
        columns=COLUMNS,
        values=tuple(zip(*read(file, window, version=version, recorded=recorded), strict=True)),
    )


def _window(seconds: float, points: int, until: float | None, now: float) -> Window:
    complete = int(now) - LATE_S + 1
    end = complete if until is None else min(math.ceil(until), complete)
    seconds = math.ceil(seconds)
    step = math.ceil(seconds / points)
    # Seconds of what the processes took are kept for two hours; reading more of them would take long, too.
    minutes = step >= MINUTE or end - seconds - step < int(now) - KEEP_S - MINUTE
    if minutes:
        step = math.ceil(step / MINUTE) * MINUTE
        end = min(math.ceil(end / MINUTE) * MINUTE, complete)
    stop = math.ceil(end / step) * step
    count = math.ceil(seconds / step)
    return Window(stop - count * step, step, count, end, minutes)
