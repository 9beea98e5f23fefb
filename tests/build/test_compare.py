"""Answers compared: what counts as the same, and what is said of what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodeploy_magic.build.compare import Comparison, compare
from autodeploy_magic.wire import describe, to_plain


def compared(live: dict[str, Any], found: dict[str, Any]) -> Comparison:
    rows = len(live["predictions"]) if hasattr(live["predictions"], "__len__") else 1
    outputs = [describe(name, value, rows) for name, value in live.items()]
    return compare(outputs, {k: to_plain(v) for k, v in live.items()}, {k: to_plain(v) for k, v in found.items()})


def test_labels_must_be_equal() -> None:
    found = compared({"predictions": np.array(["a", "b", "a"])}, {"predictions": np.array(["a", "a", "a"])})
    assert not found.passed
    assert found.differing == (1,)
    assert found.agreement == pytest.approx(2 / 3)
    assert "the first is 'a' where the live object says 'b'" in found.words


def test_probabilities_are_within_an_absolute_tolerance() -> None:
    live = {"predictions": np.array([0, 1]), "probabilities": np.array([[0.9, 0.1], [0.2, 0.8]])}
    near = {**live, "probabilities": live["probabilities"] + 5e-7}
    far = {**live, "probabilities": live["probabilities"] + [[0, 0], [0.07, 0]]}
    assert compared(live, near).passed
    assert compared(live, near).words == "probabilities within 5e-07"
    assert not compared(live, far).passed
    assert compared(live, far).words == "probabilities differ in 1 of 2 rows, by up to 0.07"


def test_a_label_may_differ_where_two_classes_tie() -> None:
    live = {"predictions": np.array([0, 1]), "probabilities": np.array([[0.5, 0.5], [0.2, 0.8]])}
    assert compared(live, {**live, "predictions": np.array([1, 1])}).passed
    assert not compared(live, {**live, "predictions": np.array([0, 0])}).passed


def test_values_are_relative_to_the_spread_of_their_column() -> None:
    live = {"predictions": np.array([[1e6, 1e-6], [2e6, 2e-6], [3e6, 4e-6]])}
    assert compared(live, {"predictions": live["predictions"] * (1 + 1e-7)}).passed
    wrong = live["predictions"].copy()
    wrong[1, 1] *= 1.5
    assert compared(live, {"predictions": wrong}).differing == (1,)


def test_nan_equals_nan_alone() -> None:
    live = {"predictions": np.array([1.0, np.nan, 3.0])}
    assert compared(live, {"predictions": np.array([1.0, np.nan, 3.0])}).passed
    assert compared(live, {"predictions": np.array([1.0, 2.0, 3.0])}).differing == (1,)


def test_json_of_any_shape() -> None:
    live = {"predictions": [{"label": "a", "score": 0.5}, {"label": "b", "score": 2.5}]}
    assert compared(live, {"predictions": [{"label": "a", "score": 0.5}, {"label": "b", "score": 2.5000001}]}).passed
    assert compared(live, {"predictions": [{"label": "a", "score": 0.5}, {"label": "c", "score": 2.5}]}).differing == (
        1,
    )


def test_another_number_of_rows_is_wrong_everywhere() -> None:
    found = compared({"predictions": np.arange(3)}, {"predictions": np.arange(2)})
    assert found.differing == (0, 1, 2)
    assert found.agreement == 0
