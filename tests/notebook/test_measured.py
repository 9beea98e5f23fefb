"""`metrics`: what was measured as a DataFrame, the same figures as the series; in a terminal as a table."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from metered import MB, alive, rollup, write
from windows import END, series
from world import World

import autodeploy_magic as ad
from autodeploy_magic import cli
from autodeploy_magic.errors import InvalidOption, MissingPackage, UnknownVersion
from autodeploy_magic.live import COLUMNS
from autodeploy_magic.notebook.measured import frame, records, table_text
from autodeploy_magic.period import clock, day_and_time, period_text, seconds_of


@pytest.fixture(scope="module")
def iris(world: World) -> Iterator[str]:
    """A deployment with an hour of a known past: version 1, and then version 2."""
    world.serve(world.version("iris"), "iris")
    now = int(time.time())
    rows = [rollup(now - s, [0.002] * 4 + [0.01], version=1 if s > 900 else 2) for s in range(600, 1200)]
    write(world.store.metrics_file("iris"), rows, [alive(now - s) for s in range(600, 1200)])
    yield "iris"
    world.supervisor.remove("iris")


# --- the table


def test_the_columns_are_those_of_a_series_and_the_index_is_time_in_utc() -> None:
    found = frame(series())
    assert tuple(found.columns) == COLUMNS
    assert found.index.name == "time"
    assert str(found.index.tz) == "UTC"  # type: ignore[attr-defined]
    assert found.index[0] == pd.Timestamp(END - 900, unit="s", tz="UTC")
    assert (found.index[1] - found.index[0]).total_seconds() == 3
    assert set(found.dtypes.astype(str)) == {"float64"}
    assert len(found) == 300
    assert found.attrs == {"deployment": "iris", "step_s": 3.0}


def test_what_was_not_measured_is_nan_and_never_zero() -> None:
    found = frame(series(gap=range(120, 135)))
    assert found["requests_per_s"].isna().sum() == 15
    assert found["gpu_share"].isna().all()
    assert not (found.iloc[120:135] == 0).any(axis=None)


def test_rows_are_json_values_for_programs() -> None:
    rows = records(frame(series(gap=range(1))))
    assert rows[0]["time"] == "2025-11-21T15:45:00Z"
    assert rows[0]["requests_per_s"] is None
    assert rows[1]["requests_per_s"] > 100
    assert json.loads(json.dumps(rows)) == rows


def test_a_terminal_gets_units_and_dashes() -> None:
    lines = table_text(frame(series(points=60, gap=range(1)))).splitlines()
    assert lines[0] == "iris: the last 15 min in steps of 15 s"
    assert lines[1].split()[:4] == ["UTC", "requests", "refused", "failed"]
    assert lines[2].split() == ["15:45:00", *["–"] * 11]
    assert " ms" in lines[3]
    assert " /s" in lines[3]
    assert " MB" in lines[3]
    assert len(lines) == 62


# --- of a deployment


def test_it_is_what_the_series_says(world: World, iris: str) -> None:
    found = ad.attach(iris).metrics(last="1h", points=60)
    told = world.supervisor.series(iris, 3600, 60)
    assert len(found) == len(told.values[0])
    known = dict(zip(told.columns, told.values, strict=True))
    both = [(a, b) for a, b in zip(found["requests_per_s"], known["requests_per_s"], strict=True) if b is not None]
    assert both
    assert sum(a for a, _ in both) == pytest.approx(sum(b for _, b in both), rel=0.05)
    step = found.attrs["step_s"]
    counted = found["requests_per_s"].sum() * step
    assert counted == pytest.approx(600 * 5, abs=30)
    assert found["p50_s"].max() == pytest.approx(0.002, rel=0.02)
    assert found["memory_bytes"].max() == 60 * MB


def test_one_version_alone(iris: str) -> None:
    dep = ad.attach(iris)
    both = [dep.metrics("1h", 60, version=number) for number in (1, 2)]
    counts = [(found["requests_per_s"] * found.attrs["step_s"]).sum() for found in both]
    assert counts == pytest.approx([299 * 5, 301 * 5], abs=30)
    assert all(found["cpu_cores"].isna().all() for found in both)
    with pytest.raises(UnknownVersion):
        dep.metrics(version=77)


def test_a_short_period_has_no_more_rows_than_seconds(iris: str) -> None:
    assert 5 <= len(ad.attach(iris).metrics("5s")) <= 6


def test_the_magic_shows_a_plain_table_and_puts_it_into_a_variable(ipython_shell: InteractiveShell, iris: str) -> None:
    ipython_shell.run_line_magic("deploy", f"metrics {iris} --last 30m --points 10 --out found")
    found = ipython_shell.user_ns.pop("found")
    assert type(found) is pd.DataFrame
    assert 10 <= len(found) <= 11


def test_the_command_prints_a_table_or_json(iris: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["metrics", iris, "--last", "30m", "--points", "5"]) == 0
    assert "iris: the last" in capsys.readouterr().out
    assert cli.main(["metrics", iris, "--last", "30m", "--points", "5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows[0]) == {"time", *COLUMNS}


def test_without_pandas_it_says_what_to_install(iris: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackage) as caught:
        ad.attach(iris).metrics()
    assert "pip install pandas" in caught.value.fix


@pytest.mark.parametrize("points", [0, -1, 100_000])
def test_a_number_of_rows_that_cannot_be_is_refused(iris: str, points: int) -> None:
    with pytest.raises(InvalidOption, match="--points"):
        ad.attach(iris).metrics(points=points)


# --- periods


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90s", 90), ("15m", 900), ("1h", 3600), ("24h", 86400), ("7d", 604800), ("1.5h", 5400), (" 2 H ", 7200)],
)
def test_periods_are_typed_as_a_number_and_a_unit(typed: str, seconds: int) -> None:
    assert seconds_of(typed) == seconds


@pytest.mark.parametrize("typed", ["", "15", "m", "15 minutes", "-5m", "0s", "0.1s", "1y", "400d", "1h30m"])
def test_what_is_no_period_is_refused_with_examples(typed: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        seconds_of(typed)
    assert "24h" in caught.value.fix
    assert caught.value.why


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45 s"),
        (90, "90 s"),
        (900, "15 min"),
        (3600, "1 h"),
        (5400, "90 min"),
        (86400, "24 h"),
        (7 * 86400, "7 days"),
        (3725, "1 h 2 min"),
        (190, "3 min 10 s"),
    ],
)
def test_periods_read_in_their_largest_whole_unit(seconds: float, text: str) -> None:
    assert period_text(seconds) == text


def test_times_are_told_with_their_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert day_and_time(END) == "2025-11-21 16:00:00 UTC"
        assert clock(END) == "16:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()
