"""What a deployment measured, as a pandas DataFrame: a row a step of time, a column for each of `live.COLUMNS`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.live import Series
from autodeploy_magic.notebook.text import UNKNOWN, cores_text, count_text, grid, rate_text, seconds_text, size_text
from autodeploy_magic.period import period_text, seconds_of
from autodeploy_magic.registry import need

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from autodeploy_magic.store import Store
    from autodeploy_magic.supervisor.client import Supervisor

__all__ = ["frame", "is_frame", "measured", "records", "table_text"]


def measured(
    store: Store, supervisor: Supervisor, name: str, last: str, points: int, version: int | None
) -> pd.DataFrame:
    """Return the last period of a deployment, or what one of its versions answered in it.

    Raises `InvalidOption`, `UnknownVersion`, and `MissingPackage` where there is no pandas.
    """
    from autodeploy_magic.metrics.series import MOST_POINTS, series

    need("pandas", "`metrics`")
    seconds = seconds_of(last)
    if not 1 <= points <= MOST_POINTS:
        raise InvalidOption(f"--points {points} is not a number of rows", fix=f"use 1 to {MOST_POINTS}")
    if version is None:
        return _with_firsts(frame(supervisor.series(name, seconds, min(points, seconds))), store.metrics_file(name))
    from autodeploy_magic.metrics import totals

    file = store.metrics_file(name)
    if version not in totals(file):  # one that was removed has left what it measured
        store.version(name, version)
    recorded = bool(store.desired(name).settings.get("metrics", True))
    table = frame(series(file, name, seconds, min(points, seconds), version=version, recorded=recorded))
    return _with_firsts(table, file, version)


def _with_firsts(table: pd.DataFrame, file: Path, version: int | None = None) -> pd.DataFrame:
    """The same with two more columns where answers were streamed: the time to their first items."""
    from autodeploy_magic.metrics.firsts import first_items

    if not len(table):
        return table
    found = first_items(file, table.index[0].timestamp(), table.attrs["step_s"], len(table), version=version)
    for i, column in enumerate(_FIRSTS if found else ()):
        table[column] = [math.nan if each[i] is None else each[i] for each in found]
    return table


def frame(series: Series) -> pd.DataFrame:
    """Return a series as a table: indexed by the start of each step in UTC, NaN for what was not measured."""
    pandas: Any = need("pandas", "a table of measurements")
    steps = max((len(values) for values in series.values), default=0)
    start = pandas.Timestamp(round(series.start_s * 1000), unit="ms", tz="UTC")
    index = pandas.DatetimeIndex(
        [start + i * pandas.Timedelta(seconds=series.step_s) for i in range(steps)], name="time"
    )
    columns = {
        column: [math.nan if value is None else value for value in values]
        for column, values in zip(series.columns, series.values, strict=True)
    }
    result = pandas.DataFrame(columns, index=index, dtype="float64")
    result.attrs |= {"deployment": series.name, "step_s": series.step_s}
    return result  # type: ignore[no-any-return]


def is_frame(value: object) -> bool:
    """Whether that is a DataFrame; without importing pandas for it."""
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "itertuples")


def records(table: Any) -> list[dict[str, Any]]:
    """Return the rows as JSON values: the time in ISO 8601, None for what was not measured."""
    return [
        {"time": at.isoformat().replace("+00:00", "Z")}
        | {column: None if math.isnan(value) else value for column, value in zip(table.columns, row, strict=True)}
        for at, row in zip(table.index, table.itertuples(index=False), strict=True)
    ]


def table_text(table: Any) -> str:
    """Return the rows as a table for a terminal: the columns that people look at, with their units."""
    step_s = table.attrs.get("step_s", 1.0)
    long = len(table) * step_s
    form = "%b %d %H:%M" if long > 86400 else "%H:%M:%S" if step_s < 60 else "%H:%M"
    shown = {column: name for column, name in _SHOWN.items() if column in table.columns}
    title = f"{table.attrs.get('deployment', '')}: the last {period_text(long)} in steps of {period_text(step_s)}"
    rows = [
        (at.strftime(form), *(_TEXTS[column](value) for column, value in zip(shown, row, strict=True)))
        for at, row in zip(table.index, table[list(shown)].itertuples(index=False), strict=True)
    ]
    return f"{title}\n{grid(('UTC', *shown.values()), rows)}"


_FIRSTS = ("first_p50_s", "first_p99_s")

_SHOWN = {
    "requests_per_s": "requests",
    "refused_per_s": "refused",
    "failed_per_s": "failed",
    "p50_s": "p50",
    "p95_s": "p95",
    "p99_s": "p99",
    "first_p50_s": "first p50",
    "first_p99_s": "first p99",
    "in_flight": "at once",
    "waiting": "waiting",
    "cpu_cores": "CPU",
    "memory_bytes": "memory",
    "disk_bytes": "disk",
}
"""Columns that a terminal has room for, and what they are called there; `--json` has all of them."""


def _known(text: Any) -> Any:
    return lambda value: UNKNOWN if math.isnan(value) else text(value)


_TEXTS: dict[str, Any] = {
    **dict.fromkeys(("requests_per_s", "refused_per_s", "failed_per_s"), _known(rate_text)),
    **dict.fromkeys(("p50_s", "p95_s", "p99_s", *_FIRSTS), _known(seconds_text)),
    **dict.fromkeys(("in_flight", "waiting"), _known(count_text)),
    **dict.fromkeys(("memory_bytes", "disk_bytes"), _known(size_text)),
    "cpu_cores": _known(cores_text),
}
