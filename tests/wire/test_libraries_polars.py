"""A polars frame → a request → the same polars frame."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire import decode, to_container, to_plain, to_request

COLUMNS: dict[str, tuple[pl.Series, str]] = {
    "int": (pl.Series([1, 2, 3], dtype=pl.Int8), "int8"),
    "int with nulls": (pl.Series([1, None, 3]), "Int64"),
    "uint with nulls": (pl.Series([1, None, 3], dtype=pl.UInt8), "UInt8"),
    "real": (pl.Series([1.5, None], dtype=pl.Float32), "float32"),
    "bool": (pl.Series([True, False]), "bool"),
    "bool with nulls": (pl.Series([True, None]), "boolean"),
    "text": (pl.Series(["x", None]), "str"),
    "enum": (pl.Series(["a", None], dtype=pl.Enum(["a", "b"])), "str"),
    "date": (pl.Series([dt.date(2026, 1, 1), None]), "datetime64[s]"),
    "time": (pl.Series([dt.datetime.fromisoformat("2026-01-01T03:00"), None]), "datetime64[us]"),
    "span": (pl.Series([dt.timedelta(hours=1), None]), "timedelta64[us]"),
    "lists": (pl.Series([[1, 2], [3]]), "object"),
    "structs": (pl.Series([{"a": 1}, {"a": 2}]), "object"),
    "nothing": (pl.Series([None, None]), "object"),
}


@pytest.mark.parametrize(("series", "dtype"), COLUMNS.values(), ids=COLUMNS)
def test_every_kind_of_column_comes_back(series: pl.Series, dtype: str) -> None:
    frame = pl.DataFrame({"x": series, "n": range(len(series))})
    signature = read_sample(frame).signature
    assert (signature.container, signature.library) == ("dataframe", "polars")
    assert signature.columns[0].dtype == dtype
    back = to_container(decode(signature, to_request(frame)))
    assert back.schema == frame.schema
    assert back.to_dicts() == frame.to_dicts()


def test_a_categorical_comes_back_as_an_enum_of_what_it_held() -> None:
    frame = pl.DataFrame({"x": pl.Series(["b", "a", None], dtype=pl.Categorical)})
    signature = read_sample(frame).signature
    assert signature.columns[0].categories == ("b", "a")
    back = to_container(decode(signature, to_request(frame)))
    assert back["x"].dtype == pl.Enum(["b", "a"])
    assert back["x"].to_list() == ["b", "a", None]
    with pytest.raises(InvalidInputs, match="not one of the categories"):
        decode(signature, [{"x": "c"}])


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (pl.Series([1.5, 2.5]), [1.5, 2.5]),
        (pl.Series(["a", None]), ["a", None]),
        ({"a": pl.Series([1, 2]), "b": pl.Series(["x", "y"])}, {"a": [1, 2], "b": ["x", "y"]}),
    ],
)
def test_series_come_back_as_series(sample: Any, expected: Any) -> None:
    signature = read_sample(sample).signature
    back = to_container(decode(signature, to_request(sample)))
    parts = back if isinstance(back, dict) else {"": back}
    assert all(isinstance(item, pl.Series) for item in parts.values())
    assert to_plain(back) == expected


def test_an_answer_in_polars_is_said_in_json() -> None:
    answer = pl.DataFrame({"a": [1, None], "b": [np.nan, 2.0], "c": ["x", None]})
    assert to_plain(answer) == [{"a": 1, "b": None, "c": "x"}, {"a": None, "b": 2.0, "c": None}]
