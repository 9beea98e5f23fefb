"""Drift of columns: shifts of each kind of column are told, and steady ones are not."""

from __future__ import annotations

import datetime as dt
from itertools import cycle, islice
from typing import Any

import msgspec
import numpy as np
import pytest
from asked import START, Watched, column, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autodeploy_magic.operate.detect.drift import MOST_SHOWN, MOST_TOLD, DriftDetector
from autodeploy_magic.operate.detect.outputs import OutputsDetector
from autodeploy_magic.operate.detect.values import ValuesDetector


def normal(rows: int, seed: int = 0, *, shift: float = 0.0, names: str = "abcd") -> list[dict[str, float]]:
    values = np.random.default_rng(seed).normal(size=(rows, len(names)))
    values[:, 0] += shift
    return [dict(zip(names, row, strict=True)) for row in values.tolist()]


def by_column(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def watched(rows: list[dict[str, Any]], **dtypes: str) -> Watched:
    """A table like `rows`, which are its sample."""
    names = {name: dtypes.get(name, "float64") for name in (rows[0] if rows else dtypes)}
    return Watched(DriftDetector("iris"), [column(name, dtype) for name, dtype in names.items()], by_column(rows))


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_of_one_sigma_is_told_within_500_requests_and_no_other_column(seed: int) -> None:
    there = watched(normal(100, seed))
    assert there.ask(normal(2000, seed + 100)) is None
    assert there.rules == set()
    took = there.ask(normal(500, seed + 200, shift=1.0), "drift:a")
    assert took is not None
    assert there.rules == {"drift:a"}
    told = there.told("drift:a")
    assert (told.severity, told.metric, told.version, told.limit) == ("warning", "drift", 1, 0.2)
    assert told.value is not None
    assert told.value > 0.2
    assert told.text.startswith("a is not distributed as it was: PSI ")
    assert "mean " in told.text


def test_it_is_over_when_the_rows_are_as_they_were_and_is_not_told_twice() -> None:
    there = watched(normal(100))
    there.ask(normal(1000, 1))
    assert there.ask(normal(600, 2, shift=1.0), "drift:a") is not None
    for seed in range(3, 6):
        there.ask(normal(600, seed))
    assert there.rules == set()
    assert there.ask(normal(1500, 7), "drift:a") is None


def test_steady_rows_are_not_drift() -> None:
    there = watched(normal(100))
    assert there.ask(normal(20_000, 3), "drift:a", per_s=100) is None
    assert there.rules == set()


def test_all_columns_are_shown_the_worst_first() -> None:
    there = watched(normal(100))
    there.ask(normal(1000, 1))
    there.ask(normal(500, 2, shift=2.0))
    assert there.moment is not None
    shown = there.moment.drift
    assert shown[0].column == "a"
    assert {one.column for one in shown} == set("abcd")
    assert [one.state for one in shown] == ["drifted", "same", "same", "same"]
    assert {one.method for one in shown} == {"psi"}
    assert all(one.value < 0.1 for one in shown[1:])
    assert shown[0].p_value is not None
    assert shown[0].p_value < 1e-8
    assert shown[0].rows == 1000
    assert shown[0].reference >= 300


def test_before_there_are_enough_rows_it_says_how_many_there_are() -> None:
    there = watched([], **dict.fromkeys("abcd", "float64"))
    there.ask(normal(100, 1))
    assert there.moment is not None
    assert [one.text for one in there.moment.drift] == ["the first 100 of 200 rows"] * 4


@pytest.mark.parametrize("size", [0, 5])
def test_without_a_useful_sample_the_first_traffic_is_what_is_compared_with(size: int) -> None:
    there = watched(normal(size), **dict.fromkeys("abcd", "float64"))
    assert there.ask(normal(1000, 1)) is None
    assert there.ask(normal(500, 2, shift=1.0), "drift:a") is not None


def test_a_sample_that_is_not_like_the_first_traffic_is_told_once_and_left() -> None:
    there = watched(normal(200, shift=3.0))
    took = there.ask(normal(400, 1), "sample")
    assert took is not None
    told = there.told("sample")
    assert told.severity == "info"
    assert "a (PSI" in told.text
    there.ask(normal(500, 2))
    assert there.rules <= {"sample"}
    there.second(passed_s=700)
    assert there.rules == set()
    assert there.ask(normal(500, 3, shift=1.0), "drift:a") is not None


def test_a_sorted_sample_is_no_drift() -> None:
    rows = sorted(normal(300), key=lambda row: row["a"])
    there = watched(rows)
    assert there.ask(normal(3000, 1), "drift:a") is None
    assert there.rules == set()


def categories(rows: int, seed: int, share: float) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)
    return [{"c": "DE" if yes else other} for yes, other in zip(
        chance.random(rows) < share, chance.choice(["FR", "IT", "ES"], rows).tolist(), strict=True)]  # fmt: skip


def booleans(rows: int, seed: int, share: float) -> list[dict[str, Any]]:
    return [{"c": bool(yes)} for yes in np.random.default_rng(seed).random(rows) < share]


def counts(rows: int, seed: int, share: float) -> list[dict[str, Any]]:
    return [{"c": int(n)} for n in np.random.default_rng(seed).poisson(2 + 5 * share, rows)]


def mostly_zero(rows: int, seed: int, share: float) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)
    values = np.where(chance.random(rows) < share, chance.lognormal(3, 1, rows), 0.0)
    return [{"c": value} for value in values.tolist()]


def texts(rows: int, seed: int, share: float) -> list[dict[str, Any]]:
    chance = np.random.default_rng(seed)
    usual, new = [f"word{i}" for i in range(80)], [f"neu{i}" for i in range(80)]
    return [
        {"c": " ".join([*chance.choice(new if chance.random() < share - 0.2 else usual, 8), f"no{seed}x{i:05}"])}
        for i in range(rows)
    ]


def dates(rows: int, seed: int, share: float) -> list[dict[str, Any]]:
    days = np.random.default_rng(seed).exponential(100 * share, rows)
    now = dt.datetime.fromtimestamp(START, dt.UTC)
    return [{"c": (now - dt.timedelta(days=float(day))).isoformat()} for day in days]


@pytest.mark.parametrize(
    ("made", "dtype", "words"),
    [
        (categories, "str", "'DE' "),
        (booleans, "bool", "'"),
        (counts, "int64", "mean "),
        (mostly_zero, "float64", "mean "),
        (texts, "str", "unseen words "),
        (dates, "datetime64[ns]", "age "),
    ],
)
def test_each_kind_of_column(made: Any, dtype: str, words: str) -> None:
    there = watched(made(100, 0, 0.2), c=dtype)
    assert there.ask(made(2000, 1, 0.2), "drift:c") is None, there.found
    assert there.ask(made(500, 2, 0.6), "drift:c") is not None
    assert words in there.told("drift:c").text


def test_constant_columns_gaps_and_other_types_are_no_drift_and_a_new_constant_is() -> None:
    def rows(value: Any) -> list[dict[str, Any]]:
        return list(islice(cycle([{"c": value}, {"c": value}, {"c": None}, {"c": "x"}, {"c": [1]}]), 1000))

    there = watched(rows(3.0)[:100], c="float64")
    assert there.ask(rows(3.0), "drift:c") is None
    assert there.ask(rows(4.0), "drift:c") is not None


def test_huge_and_strange_numbers_do_not_hurt() -> None:
    values = cycle([1e308, -1e308, 10**400, -(10**400), 1e-320, 0, float("inf"), float("nan"), True])
    there = watched(normal(100))
    there.ask([{"a": next(values), "b": 1e308, "c": -1e308, "d": 10**400} for _ in range(1500)])
    assert there.moment is not None
    assert len(there.moment.drift) == 4


def test_a_version_that_swaps_in_begins_anew() -> None:
    there = watched(normal(100))
    there.ask(normal(1000, 1))
    assert there.ask(normal(500, 2, shift=2.0), "drift:a") is not None
    there.version = msgspec.structs.replace(there.version, number=2)
    there.second()
    assert there.rules == set()
    there.ask(normal(600, 3, shift=2.0), version=1)  # the one before answers no more
    assert there.moment is not None
    assert there.moment.drift == ()
    assert there.ask(normal(1500, 4), "drift:a") is None


def test_rows_of_one_request_count_but_not_all_of_a_large_one() -> None:
    there = watched(normal(100))
    for seed in range(100, 300):
        there.second([request(normal(40, seed), there.t + 1)])
    assert there.rules == set()
    there.second([request(normal(5000, 1, shift=3.0), there.t + 1)])
    there.second(passed_s=20)
    assert there.rules == set()  # one request is not traffic
    for seed in range(300, 400):
        there.second([request(normal(40, seed, shift=1.0), there.t + 1)])
    assert there.rules == {"drift:a"}


def test_rows_of_a_request_may_be_like_each_other() -> None:
    chance = np.random.default_rng(0)
    there = watched(normal(100))
    for _ in range(1500):
        values = chance.normal(size=4) * 0.7 + chance.normal(size=(25, 4)) * 0.7
        there.second([request([dict(zip("abcd", row, strict=True)) for row in values.tolist()], there.t + 1)])
        assert there.rules <= {"sample"}


def test_requests_that_failed_are_left_out() -> None:
    there = watched(normal(100))
    there.ask(normal(1000, 1))
    assert there.ask(normal(1000, 2, shift=3.0), "drift:a", status=500) is None


def test_after_a_restart_a_drift_that_began_before_is_seen_again() -> None:
    past = [request(row, START - 3000 + i) for i, row in enumerate([*normal(600, 1), *normal(600, 2, shift=1.0)])]
    there = watched(normal(100))
    assert isinstance(there.detector, DriftDetector)
    there.detector.warm(list(reversed(past)))
    there.second()
    there.ask(normal(200, 3, shift=1.0), "drift:a")
    assert "drift:a" in there.rules


def test_500_columns_take_turns_and_are_bounded() -> None:
    names = [f"x{i}" for i in range(500)]

    def rows(count: int, seed: int, shift: float) -> list[dict[str, float]]:
        values = np.random.default_rng(seed).normal(shift, size=(count, 500))
        return [dict(zip(names, row, strict=True)) for row in values.tolist()]

    there = watched(rows(60, 0, 0.0))
    there.ask(rows(2000, 1, 0.0))
    assert there.rules == set()
    there.ask(rows(2500, 2, 1.5))
    assert there.moment is not None
    assert {one.state for one in there.moment.drift} == {"drifted"}
    assert len(there.moment.drift) == MOST_SHOWN
    assert len(there.found) == MOST_TOLD


def test_rows_that_are_lists_and_records_in_turn() -> None:
    there = watched(normal(100))
    for row in normal(1000, 1):
        there.second([request(list(row.values()) if there.t % 2 else row, there.t + 1, inputs=[[*row.values()]])])
    assert there.moment is not None
    assert [one.rows > 500 for one in there.moment.drift] == [True] * 4


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["n", "s", "b", "d", "z"]), VALUES, max_size=5) | st.lists(VALUES, max_size=5),
    max_size=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(ROWS | VALUES, min_size=1, max_size=12), st.lists(VALUES, max_size=40))
def test_no_rows_whatever_make_it_raise(inputs: list[Any], sample: list[Any]) -> None:
    columns = [
        column("n"),
        column("s", "str"),
        column("b", "bool"),
        column("d", "datetime64[ns]"),
        column("k", "str", categories=("a", "b")),
    ]
    samples = dict.fromkeys(("n", "s", "b", "d", "k"), sample)
    for detector in (DriftDetector("iris"), ValuesDetector("iris"), OutputsDetector("iris")):
        there = Watched(detector, columns, samples, {"predictions": sample})
        for answer in (sample, None, 1, "x"):
            recorded = [
                request([], there.t, inputs=given_, kept=(0,) * 40, outputs={"predictions": answer})
                for given_ in inputs * 5
            ]
            there.second(recorded, passed_s=20)
        assert there.moment is not None
        assert len(there.moment.drift) <= MOST_SHOWN
