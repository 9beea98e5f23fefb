"""A `Series` to read from: a column by its name, the times of its points, and the part in which it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autodeploy_magic.live import Series

__all__ = ["Values", "Window"]

Values = Sequence[float | None]


@dataclass(frozen=True)
class Window:
    """A window of a deployment. Times are seconds since the epoch; None is what was not measured."""

    start_s: float
    step_s: float
    columns: dict[str, Values]

    @classmethod
    def of(cls, series: Series) -> Window:
        return cls(series.start_s, series.step_s, dict(zip(series.columns, series.values, strict=True)))

    @property
    def points(self) -> int:
        return max((len(values) for values in self.columns.values()), default=0)

    @property
    def end_s(self) -> float:
        return self.start_s + self.points * self.step_s

    @property
    def measured(self) -> bool:
        """Whether anything was measured at all."""
        return self._first() is not None

    @property
    def answered(self) -> bool:
        """Whether a request was answered in it."""
        return any(value for value in self["requests_per_s"])

    def __getitem__(self, column: str) -> Values:
        return self.columns.get(column, ())

    def time(self, index: int) -> float:
        """The middle of a point's time."""
        return self.start_s + (index + 0.5) * self.step_s

    def last(self, column: str) -> float | None:
        """The latest value that was measured."""
        return next((value for value in reversed(self[column]) if value is not None), None)

    def most(self, column: str) -> float | None:
        """The largest value; of the disk's free space the least is wanted, and `least` tells it."""
        return max((value for value in self[column] if value is not None), default=None)

    def least(self, column: str) -> float | None:
        return min((value for value in self[column] if value is not None), default=None)

    def mean(self, column: str) -> float | None:
        """The mean over the points that were measured; right for rates and shares, never for percentiles."""
        found = [value for value in self[column] if value is not None]
        return sum(found) / len(found) if found else None

    def since_measured(self, least_s: float = 60.0) -> Window:
        """The window from the first point that was measured, but no shorter than `least_s`."""
        first = self._first()
        if not first:
            return self
        kept = max(self.points - first, min(self.points, round(least_s / self.step_s)))
        cut = self.points - kept
        columns = {name: values[cut:] for name, values in self.columns.items()}
        return Window(self.start_s + cut * self.step_s, self.step_s, columns)

    def _first(self) -> int | None:
        return next(
            (i for i in range(self.points) if any(values[i] is not None for values in self.columns.values())), None
        )
