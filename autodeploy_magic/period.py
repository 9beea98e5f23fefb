"""Periods of time as people type and read them: 90s, 15m, 1h, 24h, 7d."""

from __future__ import annotations

import re
import time

from autodeploy_magic.errors import InvalidOption

__all__ = ["clock", "day_and_time", "period_text", "seconds_of"]

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_S = 366 * 86400


def seconds_of(typed: str, option: str = "--last") -> int:
    """Return the seconds of a period such as "15m". Raises `InvalidOption` where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", typed.strip().lower())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if 1 <= seconds <= LONGEST_S:
        return round(seconds)
    raise InvalidOption(
        f"{option} {typed} is not a period",
        why="it is longer than a year" if seconds > LONGEST_S else "a period is a number and one of s, m, h, d",
        fix=f"for example {option} 90s, 15m, 1h, 24h or 7d",
    )


def period_text(seconds: float) -> str:
    """Return a period in its largest whole unit: "15 min", "24 h", "7 days"."""
    whole = round(seconds)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if whole % size == 0 and whole >= (2 * size if unit == "days" else size):
            return f"{whole // size} {unit}"
    if whole > 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole > 120 else f"{whole} s"


def clock(at_s: float) -> str:
    """Return the local time of the day: "16:00:03"."""
    return time.strftime("%H:%M:%S", time.localtime(at_s))


def day_and_time(at_s: float) -> str:
    """Return a time that a reader elsewhere understands: "2025-11-21 16:00:03 UTC"."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at_s))
