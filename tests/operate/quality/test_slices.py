"""Slices are found where something was planted, and not in noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from labelled import labelled, model
from scipy import stats

from autodeploy_magic.health import Slice
from autodeploy_magic.operate.quality.columns import Columns
from autodeploy_magic.operate.quality.pairs import Pairs
from autodeploy_magic.operate.quality.slices import _hypergeometric, _ranks, all_slices, worst_slices
from autodeploy_magic.operate.quality.window import Window

CITIES = ("Bern", "Lyon", "Oslo", "Rome", "Wien")


def traffic(
    rows: int, seed: int, *, error: float = 0.1, planted: float = 0.1, numbers: bool = False
) -> tuple[Window, Columns]:
    """Labelled rows with wrong answers by chance, and other ones in Oslo, and where `age` is above 0.9."""
    rng = np.random.default_rng(seed)
    columns = Columns(rows)
    window = Window(rows, columns)
    pairs = Pairs(model("regression" if numbers else "classification", dtype="float64" if numbers else "int64"))
    for i in range(rows):
        city, age = CITIES[rng.integers(5)], float(rng.normal())
        x: dict[str, Any] = {"city": city, "age": age, "flag": bool(rng.integers(2)), "id": f"id {i}"}
        x |= {f"x{j}": float(rng.normal()) for j in range(8)} | {"floor": int(rng.integers(4))}
        bad = city == "Oslo" or age > 0.9
        answer: float
        if numbers:
            truth = float(rng.normal())
            answer = truth + float(rng.normal(scale=planted if bad else error))
        else:
            truth = float(rng.integers(2))
            answer = 1 - truth if rng.random() < (planted if bad else error) else truth
        window.add(labelled(str(i), answer, truth, columns=x), pairs.of(answer, truth))
    return window, columns


def worst(window: Window, columns: Columns) -> tuple[Slice, ...]:
    rows = window.rows()
    assert rows is not None
    return worst_slices(rows, columns, None)


@pytest.mark.parametrize("numbers", [False, True])
def test_what_was_planted_is_found_worst_first(numbers: bool) -> None:
    found = worst(*traffic(1500, 0, error=0.08, planted=0.35, numbers=numbers))
    assert {one.column for one in found} == {"city", "age"}
    assert "Oslo" in {one.value for one in found}
    assert any(one.value.startswith("> ") for one in found if one.column == "age")
    leading = [one.figures[0].value for one in found]
    assert leading == sorted(leading, reverse=numbers)
    assert found[0].figures[0].metric == ("mae" if numbers else "accuracy")
    assert all(one.labels >= 20 and one.figures[0].labels == one.labels for one in found)


def test_nothing_is_found_in_noise() -> None:
    looks = [worst(*traffic(300, seed, numbers=bool(seed % 2))) for seed in range(40)]
    wrong = sum(bool(found) for found in looks)
    assert wrong <= 2  # 0.4 expected at 1 % a look; 3 or more have a probability of 0.8 %


def test_a_slice_of_few_labels_is_not_told() -> None:
    window, columns = traffic(60, 3, error=0.0, planted=1.0)
    assert all(one.labels >= 20 for one in worst(window, columns))
    assert worst(*traffic(200, 3, error=0.0, planted=0.0)) == ()  # all are right


def test_all_slices_of_a_column_are_told_in_its_order() -> None:
    window, columns = traffic(500, 1)
    window.add(labelled("gap", 1, 1, columns={"city": None, "age": None}), Pairs(model()).of(1, 1))
    rows = window.rows()
    assert rows is not None
    cities = all_slices(rows, columns, "city", None)
    assert {one.value for one in cities} == {*CITIES, "missing"}
    assert sum(one.labels for one in cities) == 500
    ages = all_slices(rows, columns, "age", None)
    assert [one.value[0] for one in ages[:1]] + [one.value[0] for one in ages[4:5]] == ["≤", ">"]
    assert ages[-1].value == "missing"
    assert all(90 <= one.labels <= 110 for one in ages[:-1])
    floors = all_slices(rows, columns, "floor", None)
    assert [one.value for one in floors][:4] == ["0", "1", "2", "3"]
    assert {one.value for one in all_slices(rows, columns, "flag", None)} == {"True", "False", "missing"}
    assert all_slices(rows, columns, "id", None) == ()  # free text
    assert all_slices(rows, columns, "no such column", None) == ()


def test_columns_are_bounded() -> None:
    columns = Columns(10)
    columns.put(0, {f"x{i}": float(i) for i in range(50)})
    assert columns.names() == [f"x{i}" for i in range(20)]
    columns.put(1, {"x0": "a text", "x1": float("inf"), "x2": None})
    assert np.isnan(columns.of("x0")[0][1])
    only = Columns(10, only="x40")
    only.put(0, {f"x{i}": float(i) for i in range(50)})
    assert only.names() == ["x40"]


@pytest.mark.parametrize(("least", "rows", "errors", "drawn"), [(3, 100, 10, 20), (0, 50, 5, 10), (9, 2000, 9, 400)])
def test_chance_is_scipy_s(least: int, rows: int, errors: int, drawn: int) -> None:
    reference = stats.hypergeom.sf(least - 1, rows, errors, drawn)
    assert _hypergeometric(least, rows, errors, drawn) == pytest.approx(reference, rel=1e-6)


def test_ranks_are_scipy_s() -> None:
    values = np.random.default_rng(0).integers(0, 20, 100).astype(float)
    assert _ranks(values) == pytest.approx(stats.rankdata(values))
