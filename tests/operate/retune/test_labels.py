"""Labels in a model's own terms: whatever JSON they came as, and whatever cannot be one is left out and said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic.operate.retune.labels import as_classes, as_known_or_new, as_numbers


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (np.array([0, 1, 2]), [0, "1", 2.0, [1], "2.0"], [0, 1, 2, 1, 2]),
        (np.array(["no", "yes"]), ["yes", "NO", " no ", {"label": "yes"}], ["yes", "no", "no", "yes"]),
        (np.array([False, True]), [1, "false", True, "0", 0.0], [True, False, True, False, False]),
        (np.array([1.5, 2.0]), ["1.5", 2], [1.5, 2.0]),
        (np.array(["a", "b", "c"], dtype=object), [[0, 1, 0], "c"], ["b", "c"]),
        (range(3), [2, [0, 0, 1], "1"], [2, 2, 1]),
    ],
)
def test_a_label_means_the_class_that_the_model_has(classes: Any, labels: list[Any], expected: list[Any]) -> None:
    found = as_classes(labels, classes)
    assert found.positions == tuple(range(len(labels)))
    assert found.y.dtype == np.asarray(classes).dtype
    assert found.y.tolist() == expected
    assert found.codes is not None
    assert [list(classes)[code] for code in found.codes] == expected
    assert found.note == ""


def test_what_it_never_saw_is_left_out_and_named() -> None:
    found = as_classes(["a", "d", None, "b", "d", "e", "f", float("nan")], np.array(["a", "b"]))
    assert found.positions == (0, 3)
    assert found.left_out == {"d": 2, "no value that can be read": 2, "e": 1, "f": 1}
    assert found.note.startswith("6 rows left out: labels the model cannot take ('d', no value that can be read, 'e'")
    assert found.note.endswith(" and 1 more)")


@pytest.mark.parametrize(
    ("classes", "label", "new"),
    [(np.array([0, 1]), "7", (7,)), (np.array(["a", "b"]), "longer", ("longer",)), (np.array([0.5, 1.0]), 2, (2.0,))],
)
def test_a_new_class_is_one_where_enough_rows_have_it(classes: Any, label: Any, new: tuple[Any, ...]) -> None:
    labels = [classes[0].item(), *[label] * 10]
    found = as_known_or_new(labels, classes)
    assert found.new == new
    assert found.classes == (*classes.tolist(), *new)
    assert found.y.tolist() == [classes[0], *new * 10]
    assert as_known_or_new(labels[:-1], classes).new == ()


def test_a_text_is_no_new_class_of_numbers() -> None:
    found = as_known_or_new([0, *["seven"] * 20], np.array([0, 1]))
    assert found.new == ()
    assert found.positions == (0,)
    assert found.y.dtype.kind == "i"
    assert as_known_or_new([10**30] * 20, np.array([0, 1])).new == ()


def test_numbers_are_read_from_texts_and_lists_of_one() -> None:
    found = as_numbers([1, "2.5", [3], True, None, "x", float("inf"), [1, 2]])
    assert found.y.tolist() == [1.0, 2.5, 3.0, 1.0]
    assert found.positions == (0, 1, 2, 3)
    assert sum(found.left_out.values()) == 4
    both = as_numbers([[1, 2], {"a": 3, "b": "4"}, 5], 2)
    assert both.y.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert both.positions == (0, 1)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(anything, max_size=30), st.sampled_from([[0, 1], ["a", "b", "c"], [False, True], [0.5, 2.0]]))
def test_no_label_is_too_strange(labels: list[Any], classes: list[Any]) -> None:
    for found in (as_classes(labels, classes), as_known_or_new(labels, classes, fewest=2), as_numbers(labels)):
        assert len(found.y) == len(found.positions) == len(labels) - sum(found.left_out.values())
