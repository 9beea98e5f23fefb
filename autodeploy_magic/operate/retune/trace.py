"""The recorded trace: when requests came, and of how many rows, for being replayed at the same times.

The sample of requests says when each came and how many rows it had; of a busy second it has some only. The roll-ups say
how many there really were: of such a second, arrivals are drawn until there are as many.
"""

from __future__ import annotations

import bisect
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.reservoir.schema import reading

__all__ = ["LEAST", "Arrival", "Trace", "recorded_trace"]

LEAST = 90
"""Requests that a trace has at least: with fewer, its 95th percentile is one or two answers."""
LEAST_S, MOST_S = 30.0, 120.0
LOOK_BACK_S = 24 * 3600.0
MOST_REQUESTS = 30_000
"""A replay holds them all, and a client on the same machine sends no more within `MOST_S` anyway."""
_SEARCHED = 2 / 3
"""The part of a stretch that layouts are searched with; the rest, which is later, confirms what was found."""
_BUSIER = 0.9
_STEP_S = 5.0
_LOAD_AMONG_REFUSED = 429
"""The one refusal that tells of load. Others tell of a client's mistake, and cost next to nothing."""

_SAMPLED = "SELECT at, seconds, max(rows, 1) FROM requests WHERE at >= ? AND at <= ? ORDER BY at"
_COUNTED = "SELECT second, statuses FROM rollups WHERE second >= ? AND second <= ?"


class Arrival(NamedTuple):
    """When a request came, in seconds from the start, and how many rows it had."""

    at_s: float
    rows: int


@dataclass(frozen=True)
class Trace:
    """Arrivals to search with, and later ones to confirm with, each from 0 s on.

    `rate` is requests a second over both. `sampled` says that not every request was recorded, and arrivals were drawn.
    """

    search: tuple[Arrival, ...]
    confirm: tuple[Arrival, ...]
    rate: float
    sampled: bool = False

    @property
    def requests(self) -> int:
        return len(self.search) + len(self.confirm)

    def write(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, file: Path) -> Trace:
        """Read what `write` wrote. Raises `OSError` or `msgspec.MsgspecError`."""
        return msgspec.json.decode(file.read_bytes(), type=cls)


def recorded_trace(
    requests_file: Path, metrics_file: Path, now_s: float, most_s: float = MOST_S, *, seed: int = 0
) -> Trace:
    """The busiest representative stretch of the last day, of `LEAST_S` to `most_s` seconds, split in two.

    Of all stretches it is the one at which nine tenths of the requests had as much traffic or less: what busy hours are
    like, and not the one burst of the day. Raises `NotApplicable` where there are too few requests, and says how many
    are missing.
    """
    since = now_s - LOOK_BACK_S
    sampled = _sampled(requests_file, since, now_s)
    if not sampled:
        raise NotApplicable(
            f"no requests of the last day are recorded; a trace takes {LEAST}",
            why="nothing was asked, or recording is switched off (record_requests is 0)",
            fix="send it requests, then tune it again",
        )
    counted = _counted(metrics_file, since, now_s)
    first, last = _stretch([at for at, _, _ in sampled], counted, max(LEAST_S, most_s))
    arrivals, drawn = _thickened(
        [item for item in sampled if first <= item[0] < last],
        {second: count for second, count in counted.items() if first <= second < last},
        random.Random(seed),
    )
    arrivals = arrivals[-MOST_REQUESTS:]
    if len(arrivals) < LEAST:
        raise NotApplicable(
            f"the busiest {last - first:.0f} s of the last day have {len(arrivals)} requests; a trace takes {LEAST}:"
            f" {LEAST - len(arrivals)} are missing",
            why="the time of so few answers says nothing of how it is best run",
            fix="tune it again when it has more traffic",
        )
    return _split(arrivals, drawn)


def _split(arrivals: Sequence[Arrival], drawn: bool) -> Trace:
    start, end = arrivals[0].at_s, arrivals[-1].at_s
    at = start + (end - start) * _SEARCHED
    cut = min(max(bisect.bisect_left(arrivals, at, key=lambda one: one.at_s), len(arrivals) // 2), len(arrivals) - 30)
    return Trace(
        search=_from_zero(arrivals[:cut]),
        confirm=_from_zero(arrivals[cut:]),
        rate=len(arrivals) / max(end - start, 1.0),
        sampled=drawn,
    )


def _from_zero(arrivals: Sequence[Arrival]) -> tuple[Arrival, ...]:
    return tuple(Arrival(round(one.at_s - arrivals[0].at_s, 6), one.rows) for one in arrivals)


def _sampled(file: Path, since: float, until: float) -> list[tuple[float, float, int]]:
    """When each recorded request was answered, how long that took, and its rows."""
    with reading(file) as connection:
        if connection is None:
            return []
        return list(connection.execute(_SAMPLED, (since, until)))


def _counted(file: Path, since: float, until: float) -> Counter[int]:
    """How many requests were answered in each second, or were too many; none where nobody counted."""
    found: Counter[int] = Counter()
    if not file.exists():
        return found
    statuses = msgspec.json.Decoder(dict[int, int])
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5.0)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rollups'").fetchone() is None:
            return found
        for second, text in connection.execute(_COUNTED, (int(since), int(until))):
            found[second] += sum(
                count
                for status, count in statuses.decode(text).items()
                if not 400 <= status < 500 or status == _LOAD_AMONG_REFUSED
            )
    return +found


def _stretch(sampled: Sequence[float], counted: Counter[int], most_s: float) -> tuple[float, float]:
    """Where the stretch begins and ends, in whole seconds since the epoch."""
    by_second = Counter(int(at) for at in sampled)
    for second, count in counted.items():
        by_second[second] = max(by_second[second], count)
    seconds = sorted(by_second)
    sums = [0]
    for second in seconds:
        sums.append(sums[-1] + by_second[second])

    def within(start: float, end: float) -> int:
        return sums[bisect.bisect_left(seconds, end)] - sums[bisect.bisect_left(seconds, start)]

    span = seconds[-1] + 1 - seconds[0]
    if span <= most_s:
        return float(seconds[0]), float(seconds[-1] + 1)
    length = most_s
    starts = sorted({int(second - second % _STEP_S) for second in seconds} | {int(seconds[-1] + 1 - length)})
    windows = sorted((within(start, start + length), start) for start in starts)
    total, seen = sum(count for count, _ in windows), 0
    count, start = windows[-1]
    for each, begins in windows:
        seen += each
        if seen >= _BUSIER * total and each >= LEAST:
            count, start = each, begins
            break
    while count > MOST_REQUESTS and length > LEAST_S:
        length = max(LEAST_S, length / 2)
        count = within(start, start + length)
    return float(start), float(start + length)


def _thickened(
    sampled: Sequence[tuple[float, float, int]], counted: dict[int, int], chance: random.Random
) -> tuple[list[Arrival], bool]:
    """Every arrival, the drawn ones among them, in their order; and whether any were drawn.

    What is recorded is when the answer was there: the request came as long before as the answer took. One that is drawn
    is another of its second, moved by about the mean distance of two.
    """
    by_second: dict[int, list[tuple[float, float, int]]] = {}
    for item in sampled:
        by_second.setdefault(int(item[0]), []).append(item)
    whole = list(sampled)
    for second, count in sorted(counted.items()):
        known = by_second.get(second, [])
        for _ in range(count - len(known)):
            if known:
                at, seconds, rows = chance.choice(known)
                at = second + (at + chance.gauss(0.0, 1.0 / count) - second) % 1.0
            elif sampled:
                _, seconds, rows = chance.choice(sampled)
                at = second + chance.random()
            else:
                break
            whole.append((at, seconds, rows))
    arrivals = sorted(Arrival(at - seconds, rows) for at, seconds, rows in whole)
    return arrivals, len(whole) > len(sampled)
