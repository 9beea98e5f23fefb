"""Unknown categories, numbers out of range and gaps are told by their share; what is usual is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from asked import START, Watched, column, request

from autodeploy_magic.operate.detect.values import ValuesDetector


def rows(count: int, seed: int = 0, *, gaps: float = 0.0, new: float = 0.0, far: float = 0.0) -> list[dict[str, Any]]:
    """Numbers `n` and categories `c`; shares of them are missing, unknown, far out."""
    chance = np.random.default_rng(seed)
    result = []
    for number, name in zip(chance.normal(size=count).tolist(), chance.choice(["a", "b", "c"], count), strict=True):
        gap, unknown, out = chance.random(3) < (gaps, new, far)
        result.append({"n": None if gap else -999.0 if out else number, "c": "new" if unknown else str(name)})
    return result


def watched(sample: list[dict[str, Any]], **of_c: Any) -> Watched:
    by_column = {name: [row[name] for row in sample] for name in ("n", "c")} if sample else {}
    columns = [column("n"), column("c", "str", **of_c)]
    return Watched(ValuesDetector("iris"), columns, by_column)


def test_as_usual_there_is_nothing() -> None:
    there = watched(rows(100, gaps=0.05))
    there.ask(rows(10_000, 1, gaps=0.05), per_s=100)
    assert there.rules == set()
    assert there.moment is not None
    assert there.moment.drift == ()


@pytest.mark.parametrize(
    ("fault", "rule", "words"),
    [
        ({"gaps": 0.2}, "missing:n", "have no n"),
        ({"new": 0.1}, "unseen:c", "'new'"),
        ({"far": 0.1}, "range:n", "such as -999"),
    ],
)
def test_a_share_of_the_rows_is_told_with_an_example_and_is_over_afterwards(fault: Any, rule: str, words: str) -> None:
    there = watched(rows(100))
    assert there.ask(rows(1000, 1)) is None
    assert there.rules == set()
    took = there.ask(rows(500, 2, **fault), rule)
    assert took is not None
    there.ask(rows(300, 4, **fault))
    told = there.told(rule)
    assert there.rules == {rule}
    assert told.severity == "warning"
    assert words in told.text
    assert told.value == pytest.approx(next(iter(fault.values())), abs=0.06)
    assert there.moment is not None
    assert [(one.column, one.method, one.state) for one in there.moment.drift] == [
        (rule.partition(":")[2], rule.partition(":")[0], "drifted")
    ]
    for seed in range(5, 9):
        there.ask(rows(400, seed))
    assert there.rules == set()


def test_a_small_share_informs() -> None:
    there = watched(rows(100), categories=("a", "b", "c"))
    there.ask(rows(1000, 1))
    there.ask(rows(2000, 2, new=0.025))
    assert there.told("unseen:c").severity == "info"


def test_categories_that_the_model_does_not_know_warn_from_the_first_rows_on() -> None:
    there = watched(rows(100), known=("a", "b", "c"))
    there.ask(rows(400, 1, new=0.2))
    assert there.told("unseen:c").severity == "warning"
    assert "the model does not know: 'new'" in there.told("unseen:c").text


def test_what_was_so_from_the_first_rows_on_informs() -> None:
    there = watched(rows(100))
    there.ask(rows(1000, 1, gaps=0.3))
    assert there.told("missing:n").severity == "info"


def test_categories_of_the_first_traffic_are_known_though_the_sample_has_them_not() -> None:
    there = watched(rows(100))
    there.ask(rows(3000, 1, new=0.03))
    assert there.rules == set()


def test_names_that_are_always_new_are_usual() -> None:
    there = watched([{"n": 0.0, "c": "a"}] * 60 + [{"n": 1.0, "c": f"rare {i}"} for i in range(40)])
    there.ask([{"n": 0.5, "c": "a" if i % 5 < 3 else f"other {i}"} for i in range(3000)])
    assert there.rules == set()


@pytest.mark.parametrize("size", [0, 5])
def test_a_sample_of_a_few_rows_says_nothing_and_the_first_traffic_does(size: int) -> None:
    there = watched(rows(size))
    assert there.ask(rows(1000, 1, gaps=0.02)) is None
    assert there.rules == set()
    assert there.ask(rows(600, 2, gaps=0.3), "missing:n") is not None


def test_what_is_no_number_is_out_of_range_and_no_text_is_unseen() -> None:
    there = watched(rows(100))
    there.ask(rows(600, 1))
    strange = [{"n": "12", "c": [1]} if i % 5 == 0 else row for i, row in enumerate(rows(600, 2))]
    there.ask(strange)
    assert there.rules == {"range:n", "unseen:c"}
    assert "such as '12'" in there.told("range:n").text


def test_a_constant_column_may_not_change() -> None:
    there = watched([{"n": 5.0, "c": "a"}] * 100)
    there.ask([{"n": 5.0, "c": "a"}] * 500)
    assert there.rules == set()
    there.ask([{"n": 50.0, "c": "a"}] * 300)
    assert there.rules == {"range:n"}


def test_a_request_that_failed_counts_for_its_values_may_be_why() -> None:
    there = watched(rows(100))
    there.ask(rows(1000, 1))
    assert there.ask(rows(500, 2, new=0.3), "unseen:c", status=500) is not None


def test_after_a_restart_it_is_seen_again() -> None:
    there = watched(rows(100))
    past = [request(row, START - 2000 + i) for i, row in enumerate([*rows(500, 1), *rows(400, 2, far=0.3)])]
    assert isinstance(there.detector, ValuesDetector)
    there.detector.warm(past)
    there.second()
    there.ask(rows(100, 3, far=0.3))
    assert there.rules == {"range:n"}
