"""What a span of time comes to, as one line of `live.COLUMNS`: the one rule for live points and for series.

Rates are 0 only where processes lived and nothing was asked. A latency is there only where something was answered. Of a
deployment that was down there is nothing but its disk, and of a time that nobody watched there is nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from autodeploy_magic.metrics.histogram import Histogram, quantiles
from autodeploy_magic.metrics.resources import Resources

__all__ = ["ANSWERED", "LATE_S", "Answered", "Used", "histogram", "line"]

ANSWERED = "requests, refused, failed, bytes_in, bytes_out, waiting, in_flight"
"""Columns of `rollups` and of `minutes`, in the order of `Answered.add`."""
LATE_S = 2
"""A second is complete this long after it began: workers hand it over when it has ended, and write it at once."""
QUANTILES = (0.5, 0.95, 0.99)
Line = tuple[float | None, ...]

histogram = msgspec.json.Decoder(dict[int, int]).decode
"""Reads the column `latency`."""


class Answered:
    """What was answered within a span, by all workers and versions: rows are added in the order of their time."""

    __slots__ = ("_at", "_in_flight", "_waiting", "in_flight", "latency", "sums", "waiting")

    def __init__(self) -> None:
        self.sums = [0, 0, 0, 0, 0]  # requests, refused, failed, bytes in and out
        self.waiting = self.in_flight = 0
        self.latency: dict[int, int] = {}
        self._at = -1
        self._waiting = self._in_flight = 0

    def add(self, at: int, row: Iterable[Any]) -> None:
        """Add a row's `ANSWERED`; those of one `at` are of several workers, whose requests were under way at once."""
        requests, refused, failed, bytes_in, bytes_out, waiting, in_flight = row
        sums = self.sums
        sums[0] += requests
        sums[1] += refused
        sums[2] += failed
        sums[3] += bytes_in
        sums[4] += bytes_out
        if at != self._at:
            self._at, self._waiting, self._in_flight = at, 0, 0
        self._waiting += waiting
        self._in_flight += in_flight
        self.waiting = max(self.waiting, self._waiting)
        self.in_flight = max(self.in_flight, self._in_flight)

    def add_latency(self, counts: Histogram) -> None:
        latency = self.latency
        if not latency:
            latency.update(counts)
            return
        get = latency.get
        for index, count in counts.items():
            latency[index] = get(index, 0) + count


class Used:
    """What was used within a span; most of it as the most within. `lived`: processes were there."""

    __slots__ = ("_cpu_s", "_span_s", "disk", "free", "gpu_memory", "gpu_share", "lived", "memory")

    def __init__(self) -> None:
        self.lived = False
        self.memory: int | None = None
        self.disk: int | None = None
        self.free: int | None = None
        self.gpu_share: float | None = None
        self.gpu_memory: int | None = None
        self._cpu_s = self._span_s = 0.0

    def add(self, row: Resources, part: float = 1.0) -> None:
        """Add a row, or the `part` of one that lies within."""
        if row.processes:
            self.lived = True
            self.memory = _most(self.memory, row.memory_bytes)
            self.gpu_share = _most(self.gpu_share, row.gpu_share)
            self.gpu_memory = _most(self.gpu_memory, row.gpu_memory_bytes)
        self._cpu_s += row.cpu_s * part
        self._span_s += row.span_s * part
        if row.disk_bytes >= 0:
            self.disk = _most(self.disk, row.disk_bytes)
        if row.disk_free_bytes >= 0:
            self.free = row.disk_free_bytes if self.free is None else min(self.free, row.disk_free_bytes)

    @property
    def cores(self) -> float | None:
        """CPU seconds a second, as a mean over the time that was watched."""
        return self._cpu_s / self._span_s if self.lived and self._span_s else None


def line(answered: Answered | None, used: Used | None, seconds: float, *, recorded: bool = True) -> Line:
    """The values of a span of `seconds`, in the order of `COLUMNS`. `answered` None: no roll-up is of that time.

    Where nothing is `recorded` (the setting `metrics` is off), that does not mean that nothing was asked.
    """
    lived = used is not None and used.lived and recorded
    if answered is not None:
        rates = [value / seconds for value in answered.sums]
        most: list[float | None] = [float(answered.in_flight), float(answered.waiting)]
    elif lived:
        rates, most = [0.0] * 5, [0.0, 0.0]
    else:
        return (*(None,) * 10, *_resources(used))
    latencies = quantiles(answered.latency, QUANTILES) if answered is not None else (None,) * len(QUANTILES)
    return (*rates[:3], *latencies, *most, *rates[3:], *_resources(used))


def _resources(used: Used | None) -> Line:
    if used is None:
        return (None,) * 6
    sizes = (used.memory, used.disk, used.free)
    return (used.cores, *map(_float, sizes), used.gpu_share, _float(used.gpu_memory))


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)
