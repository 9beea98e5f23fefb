"""The recorded trace: when requests came, as many as there really were, of the busiest representative stretch."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.metrics import INSERT, Rollup
from autodeploy_magic.metrics import open_for_writing as open_metrics
from autodeploy_magic.operate.retune.trace import LEAST, Arrival, Trace, recorded_trace
from autodeploy_magic.reservoir.records import Recorded
from autodeploy_magic.reservoir.schema import open_for_writing
from autodeploy_magic.reservoir.writing import insert

NOW = 1_790_000_000.0


def record(file: Path, requests: Sequence[tuple[float, float, int]]) -> Path:
    """Requests by when they were answered, how long that took, and their rows."""
    connection = open_for_writing(file)
    with connection:
        connection.execute("BEGIN")
        insert(
            connection,
            [
                Recorded(f"{i}", at_s, 1, 200, seconds, rows, tuple(range(rows)), None, {})
                for i, (at_s, seconds, rows) in enumerate(requests)
            ],
        )
    connection.close()
    return file


def count(file: Path, seconds: dict[int, dict[int, int]]) -> Path:
    """Seconds of one worker: how many answers of each status."""
    connection = open_metrics(file)
    zeros: dict[str, Any] = dict.fromkeys(Rollup._fields, 0) | {"latency": "{}", "batches": "{}"}
    with connection:
        for second, statuses in seconds.items():
            row = zeros | {
                "second": second,
                "version": 1,
                "requests": sum(statuses.values()),
                "statuses": msgspec.json.encode(statuses).decode(),
            }
            connection.execute(INSERT, Rollup(**row))
    connection.close()
    return file


def steady(
    start_s: float, seconds: int, rate: int, took_s: float = 0.0, rows: int = 1
) -> list[tuple[float, float, int]]:
    return [(start_s + i / rate, took_s, rows) for i in range(seconds * rate)]


def test_requests_come_when_they_were_sent_and_not_when_they_were_answered(tmp_path: Path) -> None:
    requests = record(tmp_path / "r", [(NOW - 100 + i + took, took, 2) for i in range(90) for took in (0.1 + i % 2,)])
    found = recorded_trace(requests, tmp_path / "none", NOW)
    gaps = {round(b.at_s - a.at_s, 3) for a, b in zip(found.search, found.search[1:], strict=False)}
    assert gaps == {1.0}
    assert (found.requests, found.sampled) == (90, False)
    assert found.search[0] == Arrival(0.0, 2)
    assert found.confirm[0] == Arrival(0.0, 2)
    assert len(found.confirm) == 30
    assert found.rate == pytest.approx(90 / 89)


def test_seconds_of_which_some_is_recorded_are_thickened_to_what_was_counted(tmp_path: Path) -> None:
    chance = random.Random(0)
    start = int(NOW) - 60
    sizes = [1] * 9 + [50]
    sampled = [(start + s + chance.random(), 0.002, chance.choice(sizes)) for s in range(40) for _ in range(20)]
    counts = {start + s: {200: 150 if s % 2 else 30} for s in range(40)}
    counts[start + 3] = {200: 100, 429: 50, 422: 500, 503: 7}  # what was refused for its load came, too
    files = record(tmp_path / "r", sampled), count(tmp_path / "m", counts)
    found = recorded_trace(*files, NOW, seed=3)
    assert found.sampled
    whole = [*found.search, *found.confirm]
    assert len(whole) == 19 * 150 + 20 * 30 + 157
    assert abs(statistics.mean(one.rows for one in whole) - statistics.mean(rows for *_, rows in sampled)) < 1.5
    by_second = Counter(int(one.at_s + 0.002 + sampled[0][0] % 1) for one in found.search)
    assert max(by_second.values()) < 2 * 157
    assert found == recorded_trace(*files, NOW, seed=3)
    assert found != recorded_trace(*files, NOW, seed=4)


def test_a_second_of_which_nothing_is_recorded_has_its_requests_all_the_same(tmp_path: Path) -> None:
    start = int(NOW) - 60
    requests = record(tmp_path / "r", steady(start, 30, 4))
    found = recorded_trace(requests, count(tmp_path / "m", {start + s: {200: 4} for s in range(40)}), NOW)
    assert found.requests == 160


def test_the_stretch_is_that_of_busy_hours_and_not_of_one_burst(tmp_path: Path) -> None:
    quiet = steady(NOW - 20_000, 2_000, 1)
    busy = steady(NOW - 10_000, 2_000, 5)
    burst = steady(NOW - 1_000, 2, 200)
    found = recorded_trace(record(tmp_path / "r", [*quiet, *busy, *burst]), tmp_path / "none", NOW)
    assert found.rate == pytest.approx(5.0, rel=0.1)
    assert len(found.search) == pytest.approx(2 * len(found.confirm), rel=0.1)


def test_too_little_says_how_many_are_missing(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="no requests of the last day"):
        recorded_trace(tmp_path / "none", tmp_path / "none", NOW)
    requests = record(tmp_path / "r", [*steady(NOW - 100, 40, 1), *steady(NOW - 90_000, 100, 10)])
    with pytest.raises(NotApplicable, match=f"have 40 requests; a trace takes {LEAST}: {LEAST - 40} are missing"):
        recorded_trace(requests, tmp_path / "none", NOW)


def test_it_is_json_of_pairs(tmp_path: Path) -> None:
    trace = Trace((Arrival(0.0, 1), Arrival(0.5, 20)), (Arrival(0.0, 3),), 2.0, True)
    trace.write(tmp_path / "trace.json")
    assert msgspec.json.decode((tmp_path / "trace.json").read_bytes()) == {
        "search": [[0.0, 1], [0.5, 20]],
        "confirm": [[0.0, 3]],
        "rate": 2.0,
        "sampled": True,
    }
    assert Trace.read(tmp_path / "trace.json") == trace
