"""A window as points: what it shows is what was answered, and nothing where nobody knows."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metered import MB, alive, rollup, write

from autodeploy_magic.errors import InvalidOption, StoreFailed
from autodeploy_magic.live import COLUMNS, Series
from autodeploy_magic.metrics import points as points_module
from autodeploy_magic.metrics.histogram import quantile, quantiles
from autodeploy_magic.metrics.points import line
from autodeploy_magic.metrics.series import series
from autodeploy_magic.metrics.window import Window, read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.sqlite"


def column(found: Series, name: str) -> list[float | None]:
    return list(found.values[found.columns.index(name)])


def at(found: Series, second: int) -> dict[str, float | None]:
    """The point that covers a second."""
    index = int((second - found.start_s) // found.step_s)
    return {name: values[index] for name, values in zip(found.columns, found.values, strict=True)}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 9),
            st.integers(1, 3),
            st.integers(1, 2),
            st.lists(st.floats(2e-6, 30.0), min_size=1, max_size=30),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_percentiles_are_those_of_all_answers_together(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int, list[float]]]
) -> None:
    file = tmp_path_factory.mktemp("series") / "metrics.sqlite"
    now = int(time.time()) // 10 * 10 - 20
    write(file, (rollup(now + s, latencies, worker=w, version=v) for s, w, v, latencies in rows))
    found = at(series(file, "iris", 10, 1, until=now + 10), now)
    every = sorted(latency for *_, latencies in rows for latency in latencies)
    for name, q in (("p50_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99)):
        assert found[name] == pytest.approx(every[int(q * (len(every) - 1))], rel=0.02)
    assert found["requests_per_s"] == pytest.approx(len(every) / 10)


@given(st.dictionaries(st.integers(-300, 300), st.integers(1, 50), max_size=20))
def test_several_quantiles_are_each_of_them(histogram: dict[int, int]) -> None:
    ranks = (0.0, 0.5, 0.5, 0.95, 0.99, 1.0)
    assert quantiles(histogram, ranks) == tuple(quantile(histogram, q) for q in ranks)


def test_a_line_has_a_value_for_every_column() -> None:
    assert len(line(None, None, 1.0)) == len(COLUMNS)


def test_rates_errors_sizes_and_cpu(file: Path) -> None:
    now = int(time.time()) - 30
    write(
        file,
        [
            rollup(now, [0.01] * 4, worker=1, statuses=[200, 422, 422, 500], in_flight=3, waiting=1),
            rollup(now, [0.01] * 2, worker=2, in_flight=2),
            rollup(now + 1, [0.01] * 6, worker=1, in_flight=1),
        ],
        [alive(now, cpu_s=0.25, memory=60), alive(now + 1, cpu_s=0.75, memory=80)],
    )
    second = at(series(file, "iris", 10, 10, until=now + 2), now)
    assert (second["requests_per_s"], second["refused_per_s"], second["failed_per_s"]) == (6.0, 2.0, 1.0)
    assert (second["in_flight"], second["waiting"]) == (5.0, 1.0)  # of both workers at once
    assert (second["bytes_in_per_s"], second["bytes_out_per_s"]) == (300.0, 600.0)
    assert (second["cpu_cores"], second["memory_bytes"]) == (0.25, 60.0 * MB)
    assert (second["disk_bytes"], second["disk_free_bytes"]) == (5.0 * MB, 900.0 * MB)
    [both] = read(file, Window(now, 2, 1, now + 2, minutes=False))
    together = dict(zip(COLUMNS, both, strict=True))
    assert (together["requests_per_s"], together["failed_per_s"]) == (6.0, 0.5)
    assert (together["cpu_cores"], together["memory_bytes"], together["in_flight"]) == (0.5, 80.0 * MB, 5.0)


def test_idle_is_zero_dead_is_nothing_and_unwatched_is_unknown(file: Path) -> None:
    now = int(time.time()) - 30
    write(file, [rollup(now + 3, [0.01])], [alive(now), alive(now + 1, processes=0)])
    found = series(file, "iris", 10, 10, until=now + 4)
    idle, dead, unwatched, answering = (at(found, now + i) for i in range(4))
    assert (idle["requests_per_s"], idle["failed_per_s"], idle["in_flight"]) == (0.0, 0.0, 0.0)
    assert idle["p50_s"] is None
    assert idle["cpu_cores"] == 0.5
    assert {name for name, value in dead.items() if value is not None} == {"disk_bytes", "disk_free_bytes"}
    assert set(unwatched.values()) == {None}
    assert (answering["requests_per_s"], answering["cpu_cores"]) == (1.0, None)


def test_where_nothing_is_recorded_idle_is_unknown(file: Path) -> None:
    now = int(time.time()) - 30
    write(file, [], [alive(now)])
    found = at(series(file, "iris", 5, 5, until=now + 1, recorded=False), now)
    assert (found["requests_per_s"], found["memory_bytes"]) == (None, 60.0 * MB)


def test_a_row_tells_of_all_the_seconds_that_it_covers(file: Path) -> None:
    now = int(time.time()) - 30
    write(file, [], [alive(now, span_s=3.02, cpu_s=1.51), alive(now + 4, span_s=2.0, processes=0)])
    found = series(file, "iris", 10, 10, until=now + 5)
    cores = [at(found, now + i)["cpu_cores"] for i in range(-3, 5)]
    assert cores == [None, *[pytest.approx(0.5)] * 3, None, None, None, None]
    assert [at(found, now + i)["disk_bytes"] is not None for i in range(1, 5)] == [False, False, True, True]


def test_minutes_are_what_their_seconds_are(file: Path) -> None:
    chance = random.Random(7)
    end = int(time.time()) // 60 * 60 - 60
    start = end - 600
    write(
        file,
        (
            rollup(second, [chance.lognormvariate(-5, 1) for _ in range(5)], worker=worker, version=version)
            for second in range(start, end)
            for worker in (1, 2)
            for version in (1, 2)
            if chance.random() < 0.8
        ),
        (alive(second, cpu_s=chance.random(), memory=chance.randint(50, 90)) for second in range(start, end)),
    )
    seconds = read(file, Window(start, 120, 5, end, minutes=False))
    minutes = read(file, Window(start, 120, 5, end, minutes=True))
    for second, minute in zip(seconds, minutes, strict=True):
        assert minute == tuple(pytest.approx(value) if value is not None else None for value in second)


def test_a_long_window_is_read_from_minutes_and_its_end_from_seconds(file: Path) -> None:
    now = int(time.time())
    write(
        file,
        [rollup(second, [0.01] * 3) for second in range(now - 200, now + 30)],
        [alive(second) for second in range(now - 200, now + 30)],
    )
    found = series(file, "iris", 86400, 600)
    assert found.step_s == 180.0
    assert found.start_s % 180 == 0
    assert len(found.values[0]) == 480
    known = [value for value in column(found, "requests_per_s") if value is not None]
    # The last point is a mean over the part of it that is over, not over what is still to come.
    assert known[-1] == pytest.approx(3.0)
    assert sum(value is not None for value in column(found, "cpu_cores")) == len(known)


def test_what_is_under_way_is_not_shown_as_zero(file: Path) -> None:
    now = int(time.time())
    write(
        file,
        [rollup(second, [0.01] * 3) for second in range(now - 20, now - 1)],
        [alive(second) for second in range(now - 20, now + 30)],
    )
    for until in (None, now + 3600):
        found = series(file, "iris", 10, 10, until=until)
        assert found.start_s + len(found.values[0]) <= int(time.time()) - 1
        assert set(column(found, "requests_per_s")[:5]) == {3.0}


@pytest.mark.parametrize(("seconds", "points"), [(300, 300), (300, 100), (3600, 250), (86400, 600), (1, 1), (7200, 7)])
def test_points_are_aligned_and_no_more_than_asked(file: Path, seconds: int, points: int) -> None:
    found = series(file, "iris", seconds, points)
    assert found.columns == COLUMNS
    assert len(found.values) == len(COLUMNS)
    assert {len(values) for values in found.values} == {len(found.values[0])}
    assert len(found.values[0]) <= points
    assert found.start_s % found.step_s == 0
    assert found.step_s * len(found.values[0]) >= seconds
    assert {value for values in found.values for value in values} == {None}  # there is no file


@pytest.mark.parametrize(("seconds", "points"), [(0, 10), (300, 0), (300, 2001), (float("nan"), 10)])
def test_a_window_that_cannot_be_is_refused(file: Path, seconds: float, points: int) -> None:
    with pytest.raises(InvalidOption, match="cannot be made"):
        series(file, "iris", seconds, points)


def test_one_version_alone(file: Path) -> None:
    now = int(time.time()) - 30
    write(file, [rollup(now, [0.01] * 4, version=1), rollup(now, [0.1], version=2)], [alive(now)])
    second = at(series(file, "iris", 5, 5, until=now + 1, version=2), now)
    assert second["requests_per_s"] == 1.0
    assert second["p50_s"] == pytest.approx(0.1, rel=0.02)
    assert second["memory_bytes"] is None  # of both versions together
    assert at(series(file, "iris", 5, 5, until=now + 1, version=3), now)["requests_per_s"] == 0.0


def test_a_file_of_the_first_release_is_read(file: Path) -> None:
    now = int(time.time()) - 300
    with sqlite3.connect(file) as old:
        old.execute(
            "CREATE TABLE rollups (second INTEGER, worker INTEGER, version INTEGER, requests INTEGER, rows INTEGER,"
            " refused INTEGER, failed INTEGER, bytes_in INTEGER, bytes_out INTEGER, dropped INTEGER, latency TEXT)"
        )
        old.execute("INSERT INTO rollups VALUES (?, 1, 1, 5, 5, 0, 0, 1, 1, 0, '{\"-230\": 5}')", (now,))
    old.close()
    found = at(series(file, "iris", 5, 5, until=now + 1), now)
    assert (found["requests_per_s"], found["in_flight"]) == (5.0, 0.0)
    assert set(column(series(file, "iris", 86400, 100), "requests_per_s")) == {None}  # it has no minutes


def test_a_file_that_is_damaged_says_so(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(StoreFailed, match=r"metrics\.sqlite cannot be read"):
        series(file, "iris", 300, 300)


def test_the_quantiles_are_those_of_the_columns() -> None:
    assert [f"p{q:.0%}_s".replace("%", "") for q in points_module.QUANTILES] == [c for c in COLUMNS if c[0] == "p"]
