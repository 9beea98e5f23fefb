"""A period of a deployment as a few figures, each read from one point of a `Series` that covers the whole of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autodeploy_magic.live import Series
from autodeploy_magic.notebook.text import (
    UNKNOWN,
    cores_text,
    count_text,
    percent_text,
    rate_text,
    seconds_text,
    size_text,
)

__all__ = ["HEAD", "Figures"]

HEAD = ("requests", "rate", "p50", "p95", "p99", "refused", "failed", "CPU", "memory", "disk")
"""What the figures are called, in the order of `Figures.words`."""


@dataclass(frozen=True)
class Figures:
    """A period of a deployment. Counts are of requests, `refused` (4xx) and `failed` (5xx) among them.

    `cpu_cores` is the mean, sizes are the most within it. None: not measured.
    """

    start_s: float
    seconds: float
    requests: int | None
    refused: int | None
    failed: int | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cpu_cores: float | None
    memory_bytes: float | None
    disk_bytes: float | None
    disk_free_bytes: float | None
    in_flight: float | None
    waiting: float | None

    @classmethod
    def of(cls, series: Series) -> Figures:
        """Read them from a series of one point."""
        values = dict(zip(series.columns, series.values, strict=True))
        found = {column: value[-1] if value else None for column, value in values.items()}

        def count(column: str) -> int | None:
            rate = found.get(column)
            return None if rate is None else round(rate * series.step_s)

        return cls(
            start_s=series.start_s,
            seconds=series.step_s,
            requests=count("requests_per_s"),
            refused=count("refused_per_s"),
            failed=count("failed_per_s"),
            **{column: found.get(column) for column in _AS_THEY_ARE},
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The figures as they read, in the order of `HEAD`; "–" for what was not measured."""
        per_s = None if self.requests is None else self.requests / self.seconds
        return (
            count_text(self.requests),
            rate_text(per_s),
            _or_dash(self.p50_s, seconds_text),
            _or_dash(self.p95_s, seconds_text),
            _or_dash(self.p99_s, seconds_text),
            self.share(self.refused),
            self.share(self.failed),
            cores_text(self.cpu_cores),
            _or_dash(self.memory_bytes, size_text),
            _or_dash(self.disk_bytes, size_text),
        )

    def share(self, count: int | None) -> str:
        """How many of the requests that is, as people read it: "0.12 %"."""
        return UNKNOWN if count is None or not self.requests else percent_text(count / self.requests)


_AS_THEY_ARE = (
    *("p50_s", "p95_s", "p99_s", "cpu_cores", "memory_bytes"),
    *("disk_bytes", "disk_free_bytes", "in_flight", "waiting"),
)


def _or_dash(value: float | None, text: Callable[[float], str]) -> str:
    return UNKNOWN if value is None else text(value)
