"""What an answer and its label say, as people and programs write labels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import labelled, model

from autodeploy_magic.operate.quality.pairs import Pair, Pairs, class_name, resolve
from autodeploy_magic.operate.quality.window import Window

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("label", [1, 1.0, "1", " 1 ", "1.0", True, "true", [1], {"label": 1}])
def test_one_class_is_written_in_many_ways(label: Any) -> None:
    pair = Pairs(model()).of(1, label)
    assert pair is not None
    assert pair.kind == "classes"
    assert resolve(pair.truth, {"0", "1"}) == pair.answer == "1"


@pytest.mark.parametrize(
    ("label", "known", "meant"),
    [
        ("True", {"True", "False"}, "True"),
        ("1", {"True", "False"}, "True"),
        ("0", {"True"}, "False"),  # which has not been answered yet
        ("false", {"False", "True"}, "False"),
        ("Yes", {"yes", "no"}, "yes"),
        ("YES", {"yes", "Yes"}, "YES"),  # it could be either: neither is taken
        ("1", {"1.0", "2.0"}, "1.0"),
        ("true", {"true", "false"}, "true"),
        ("1", {"yes", "no"}, "1"),
        ("3", {"0", "1", "2"}, "3"),
        ("nan", {"nan", "0"}, "nan"),
        ("cat", set(), "cat"),
    ],
)
def test_a_label_is_the_class_that_it_means(label: str, known: set[str], meant: str) -> None:
    assert resolve(label, known) == meant


def test_labels_that_are_no_answer_are_not_read() -> None:
    pairs = Pairs(model())
    assert pairs.of(1, None) is None
    assert pairs.of(None, 1) is None
    assert pairs.of(1, [1, 2]) is None
    assert class_name(float("inf")) is None


@pytest.mark.parametrize(
    ("prediction", "label", "truth", "answer"),
    [
        (2.5, 3, (3.0,), (2.5,)),
        ([2.5], "3.5", (3.5,), (2.5,)),
        ([1.0, 2.0], [1, 3], (1.0, 3.0), (1.0, 2.0)),
        ({"a": 1.0, "b": 2.0}, {"b": 4, "a": 3}, (3.0, 4.0), (1.0, 2.0)),
        ({"a": 1.0, "b": 2.0}, [3, 4], (3.0, 4.0), (1.0, 2.0)),
    ],
)
def test_a_regression_has_numbers(prediction: Any, label: Any, truth: Any, answer: Any) -> None:
    assert Pairs(model("regression", dtype="float64")).of(prediction, label) == Pair("numbers", truth, answer)


@pytest.mark.parametrize(("prediction", "label"), [(2.5, "many"), ([1.0, 2.0], 1.0), (2.5, float("nan")), (2.5, {})])
def test_a_regression_s_label_that_is_no_number_is_not_read(prediction: Any, label: Any) -> None:
    assert Pairs(model("regression", dtype="float64")).of(prediction, label) is None


@pytest.mark.parametrize("task", ["function", "classification"])
def test_scores_in_a_row_answer_the_class_of_the_highest(task: str) -> None:
    pairs = Pairs(model(task, dtype="float32", shape=(3,)))
    assert pairs.of([0.1, 0.7, 0.2], "1") == Pair("classes", "1", "1", 0.7)
    assert pairs.of([-3.0, 2.0, 9.0], 0) == Pair("classes", "0", "2", None)  # logits are no probabilities
    assert pairs.of([0.1, 0.7, 0.2], [0, 0, 1]) == Pair("classes", "2", "1", 0.7)


def test_of_several_targets_all_must_be_right() -> None:
    pairs = Pairs(model(shape=(2,)))
    assert pairs.of([1, 0], [1, 0]) == Pair("equal", True, True)
    assert pairs.of([1, 0], ["1", 1]) == Pair("equal", True, False)
    assert pairs.of([1, 0], 1) is None


def test_other_answers_are_equal_or_not() -> None:
    clusters = Pairs(model("clustering"))
    assert clusters.of(3, "3") == Pair("equal", True, True)
    assert Pairs(model("function", dtype="object")).of("a text", "Another") == Pair("equal", True, False)
    assert Pairs(model("function", dtype="object")).of({"label": "A", "score": 0.5}, "A") == Pair("equal", True, True)
    assert Pairs(model("function", dtype="float64")).of(0.5, 1) == Pair("numbers", (1.0,), (0.5,))
    assert Pairs(model("transform", dtype="float64", shape=(300,))).of([0.1] * 300, [0.1] * 300) is None


def test_a_text_classifier_of_a_hub_is_a_classifier() -> None:
    pairs = Pairs(model("function", dtype="<U8", classes=2))
    assert pairs.of("POSITIVE", "positive") == Pair("classes", "positive", "POSITIVE")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    task=st.sampled_from(["classification", "regression", "function", "clustering", "transform"]),
    dtype=st.sampled_from(["int64", "float64", "object", "<U5"]),
    rows=st.lists(st.tuples(JSON, JSON), max_size=6),
)
def test_whatever_answers_and_labels_are_nothing_breaks(task: str, dtype: str, rows: list[tuple[Any, Any]]) -> None:
    pairs, window = Pairs(model(task, dtype=dtype)), Window(4)
    for i, (prediction, label) in enumerate(rows):
        window.add(labelled(str(i), prediction, label), pairs.of(prediction, label))
    assert len(window) == min(4, len(rows))
    found = window.rows()
    if found is not None:
        figures = found.figures(found.positive((), None))
        assert figures[0].labels == len(window) - window.unread
        confusion = found.confusion()
        assert confusion is None or sum(map(sum, confusion.counts)) == figures[0].labels
