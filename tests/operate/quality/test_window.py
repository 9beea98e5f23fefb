"""The newest labelled rows: a label that comes again replaces the one before, the oldest is forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
from labelled import NOW, labelled, model

from autodeploy_magic.operate.quality.columns import Columns
from autodeploy_magic.operate.quality.pairs import Pairs
from autodeploy_magic.operate.quality.window import LATE_S, Window

CLASSES, NUMBERS = Pairs(model()), Pairs(model("regression", dtype="float64"))


def add(window: Window, request: str, prediction: Any, label: Any, pairs: Pairs = CLASSES, **more: Any) -> None:
    window.add(labelled(request, prediction, label, **more), pairs.of(prediction, label))


def accuracy(window: Window) -> float:
    rows = window.rows()
    assert rows is not None
    return rows.figures(None)[0].value


def test_the_oldest_are_forgotten() -> None:
    window = Window(100, Columns(100))
    for i in range(100):
        add(window, f"wrong {i}", 1, 0, columns={"x": -1.0})
    assert accuracy(window) == 0.0
    for i in range(99):
        add(window, f"right {i}", 1, 1, columns={"x": 1.0})
    assert len(window) == 100
    assert accuracy(window) == 0.99
    add(window, "right", 1, 1, columns={"x": 1.0})
    assert accuracy(window) == 1.0
    assert window.columns is not None
    assert set(window.columns.of("x")[0]) == {1.0}


def test_the_newest_label_of_a_row_counts_and_makes_it_new() -> None:
    window = Window(3)
    for name in "abc":
        add(window, name, 1, 0)
    add(window, "a", 1, 1, before=0)
    assert len(window) == 3
    assert accuracy(window) == 1 / 3
    assert window.changed == 1
    add(window, "d", 1, 1)  # b goes, not a
    assert accuracy(window) == 2 / 3
    add(window, "a", 1, 1, row=1)  # another row of the same request
    assert len(window) == 3
    assert accuracy(window) == 1.0


def test_late_and_changed_labels_are_counted_as_long_as_they_are_there() -> None:
    window = Window(2)
    add(window, "a", 1, 1, answered_s=NOW, labelled_s=NOW + LATE_S + 1)
    add(window, "b", 1, 1, answered_s=NOW, labelled_s=NOW + LATE_S)
    assert (window.late, window.changed) == (1, 0)
    add(window, "b", 1, 1, before=1)  # it was said twice: no contradiction
    assert (window.late, window.changed) == (1, 0)
    add(window, "c", 1, 1)
    assert window.late == 0


def test_what_cannot_be_compared_is_kept_and_counted() -> None:
    window = Window(10)
    add(window, "a", 1, [1, 2])
    assert window.rows() is None
    add(window, "b", 1, 1)
    assert (len(window), window.unread) == (2, 1)
    assert accuracy(window) == 1.0


def test_numbers_of_another_width_are_left_out() -> None:
    window = Window(10)
    add(window, "a", [1.0, 2.0], [1.0, 3.0], NUMBERS)
    add(window, "b", 1.0, 1.0, NUMBERS)
    rows = window.rows()
    assert rows is not None
    assert rows.truth.shape == (1, 2)
    assert window.unread == 1


def test_labels_mean_the_classes_that_the_model_answers() -> None:
    window = Window(10)
    for i, label in enumerate([1, "1", 1.0, True, "0", 0, "maybe"]):
        add(window, str(i), 1 if i < 4 else 0, label)
    rows = window.rows()
    assert rows is not None
    assert sorted(rows.classes) == ["0", "1", "maybe"]
    assert accuracy(window) == 6 / 7
    confusion = rows.confusion()
    assert confusion is not None
    assert confusion.classes == ("0", "1", "maybe")
    assert np.array_equal(confusion.counts, [[2, 0, 0], [0, 4, 0], [1, 0, 0]])


def test_a_class_is_called_as_the_model_calls_it_however_late_it_is_answered() -> None:
    window = Window(10)
    add(window, "a", "no", "YES")
    rows = window.rows()
    assert rows is not None
    assert "YES" in rows.classes
    add(window, "b", "yes", "yes")
    rows = window.rows()
    assert rows is not None
    assert sorted(rows.classes) == ["no", "yes"]
    rows = Window(0).rows(frozenset({"no", "yes"}))
    assert rows is None


def test_names_of_classes_that_nobody_has_any_more_are_forgotten() -> None:
    window = Window(50)
    for i in range(9000):
        add(window, str(i), f"class {i}", f"class {i}" if i % 2 else "other")
    assert accuracy(window) == 0.5
    assert len(window._names) < 8100


def test_the_positive_class_is_the_second_of_two() -> None:
    window = Window(10)
    add(window, "a", 1, 0)
    rows = window.rows()
    assert rows is not None
    assert rows.positive((), None) == "1"
    assert rows.positive((), 3) is None
    add(window, "b", 1, "a slip of the pen")
    rows = window.rows()
    assert rows is not None
    assert rows.positive({"0", "1"}, 2) == "1"  # two probabilities: a third label is no class
    assert rows.positive({"0", "1"}, None) is None
    assert {figure.metric: figure.value for figure in rows.figures("1")}["accuracy"] == 0.0
    alone = Window(10)
    add(alone, "a", 0, 0)
    rows = alone.rows()
    assert rows is not None
    assert rows.positive((), 2) is None
    assert [figure.metric for figure in rows.figures(None)] == ["accuracy"]
