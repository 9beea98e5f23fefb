"""Answers: what a live object returns comes back from JSON with its values, dtype, shape and container."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from autodeploy_magic.wire import describe, restore, to_plain


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, 2, 3]),
        np.array([0.1, np.nan, 0.3]),
        np.array([[0.25, 0.75]] * 3, dtype=np.float32),
        np.array(["setosa", "versicolor", "virginica"]),
        np.array(["a", "bcd", None], dtype=object),
        np.array([True, False, True]),
        np.array(["2026-01-01", "2026-01-02", "NaT"], dtype="datetime64[D]"),
        np.array([1, 90, "NaT"], dtype="timedelta64[D]"),
        np.arange(12).reshape(3, 2, 2),
    ],
    ids=lambda value: str(value.dtype),
)
def test_arrays(value: np.ndarray[Any, Any]) -> None:
    output = describe("predictions", value, 3)
    found = restore(output, msgspec.json.decode(msgspec.json.encode(to_plain(value))))
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found, value)


def test_a_series_and_a_frame_get_the_index_of_what_was_sent() -> None:
    index = pd.Index([7, 8])
    series = pd.Series([1.5, 2.5], index=index, name="price")
    pd.testing.assert_series_equal(restore(describe("p", series, 2), to_plain(series), index=index), series)
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=index)
    pd.testing.assert_frame_equal(restore(describe("p", frame, 2), to_plain(frame), index=index), frame)


def test_plain_values_of_a_postprocess() -> None:
    answer = [{"label": np.str_("a"), "score": np.float32(0.5), "when": pd.Timestamp("2026-01-01"), "none": pd.NA}]
    assert to_plain(answer) == [{"label": "a", "score": 0.5, "when": "2026-01-01T00:00:00", "none": None}]
    assert to_plain((1, {2})) == [1, [2]]
    assert to_plain(float("inf")) is None


def test_what_json_cannot_say_is_named() -> None:
    with pytest.raises(TypeError, match="complex"):
        to_plain([1 + 2j])
