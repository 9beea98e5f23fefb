"""The time of a series as one point: what its points come to together."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from metered import alive, rollup, write

from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.live import Series
from autodeploy_magic.metrics.histogram import RELATIVE_ERROR
from autodeploy_magic.metrics.series import series
from autodeploy_magic.metrics.whole import statuses, whole

NOW = int(time.time()) // 60 * 60 - 120


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.sqlite"


def column(found: Series, name: str) -> list[float | None]:
    return list(found.values[found.columns.index(name)])


def one(found: Series, name: str) -> float | None:
    (value,) = column(found, name)
    return value


@pytest.mark.parametrize("points", [60, 7, 1])
def test_it_counts_what_the_points_count(file: Path, points: int) -> None:
    step = -(-60 // points)
    until = NOW // step * step  # where a point ends
    rows = [rollup(until - s, [0.001 * (1 + s % 5)] * (1 + s % 3), version=1 + s % 2) for s in range(1, 50)]
    write(file, rows, [alive(until - s) for s in range(50)])
    window = series(file, "iris", 60, points, until=until)
    all_of_it = whole(file, window)
    rates = [value or 0.0 for value in column(window, "requests_per_s")]
    requests = one(all_of_it, "requests_per_s")
    assert requests is not None
    assert round(requests * all_of_it.step_s) == round(sum(rates) * window.step_s) == sum(row.requests for row in rows)
    assert all_of_it.start_s == window.start_s
    assert all_of_it.step_s == window.step_s * len(rates)
    assert one(all_of_it, "cpu_cores") == pytest.approx(0.5)


def test_its_percentiles_are_of_all_requests_and_no_mean_of_percentiles(file: Path) -> None:
    write(file, [rollup(NOW - 30, [0.001] * 98), rollup(NOW - 20, [0.5]), rollup(NOW - 10, [0.5])])
    found = whole(file, series(file, "iris", 60, 60, until=NOW))
    assert one(found, "p50_s") == pytest.approx(0.001, rel=RELATIVE_ERROR)
    assert one(found, "p99_s") == pytest.approx(0.5, rel=RELATIVE_ERROR)


def test_a_day_is_counted_from_its_minutes(file: Path) -> None:
    start = NOW - 24 * 3600
    write(file, [rollup(start + i * 600, [0.002, 0.003]) for i in range(1, 140)])
    window = series(file, "iris", 24 * 3600, 144, until=NOW)
    found = whole(file, window)
    requests = one(found, "requests_per_s")
    assert requests is not None
    assert round(requests * found.step_s) == 2 * 139
    assert one(found, "p50_s") == pytest.approx(0.002, rel=0.02)


def test_a_version_alone_has_nothing_of_the_processes(file: Path) -> None:
    write(file, [rollup(NOW - 9, [0.001] * 3), rollup(NOW - 9, [0.004], version=2)], [alive(NOW - 9)])
    window = series(file, "iris", 60, 60, until=NOW)
    found = whole(file, window, version=2)
    requests = one(found, "requests_per_s")
    assert requests is not None
    assert round(requests * found.step_s) == 1
    assert one(found, "memory_bytes") is None


def test_of_a_time_that_nobody_watched_it_tells_nothing(file: Path) -> None:
    found = whole(file, series(file, "iris", 60, 60, until=NOW))
    assert {value for values in found.values for value in values} == {None}


def test_seconds_that_are_not_over_are_no_part_of_its_time(file: Path) -> None:
    write(file, [rollup(int(time.time()) - s, [0.001]) for s in range(3, 9)])
    found = whole(file, series(file, "iris", 60, 60))
    assert found.start_s + found.step_s <= time.time()


def test_answers_are_counted_by_their_status(file: Path) -> None:
    write(file, [rollup(NOW - 5, [0.001] * 4, statuses=[200, 200, 422, 500]), rollup(NOW - 90, [0.001])])
    assert statuses(file, NOW - 60, NOW) == {200: 2, 422: 1, 500: 1}
    assert statuses(file, NOW - 60, NOW - 30) == {}
    assert statuses(file.with_name("none.sqlite"), 0, NOW) == {}


def test_a_file_that_is_no_database_is_said(file: Path) -> None:
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreFailed, match="cannot be read"):
        statuses(file, 0, NOW)
