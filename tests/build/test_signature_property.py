"""Capture ↔ validation: any frame that fits its signature passes, any mutation is refused with the field named."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire import decode, to_container, to_request

names = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable())
dates = st.datetimes(min_value=pd.Timestamp("1700-01-01"), max_value=pd.Timestamp("2200-01-01"))

KINDS: dict[str, Any] = {
    "float64": st.floats(allow_nan=False, allow_infinity=False),
    "float32": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "int64": st.integers(-(2**53), 2**53),
    "uint8": st.integers(0, 255),
    "bool": st.booleans(),
    "str": st.text(max_size=5),
    "datetime64[ns]": dates,
    "category": st.sampled_from(["a", "b", "ü"]),
    "nullable float": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "nullable str": st.none() | st.text(max_size=5),
    "Int64": st.none() | st.integers(-(2**53), 2**53),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(1, 5))
    columns: dict[str, Any] = {}
    for name in draw(st.lists(names, min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(sorted(KINDS)))
        values = draw(st.lists(KINDS[kind], min_size=rows, max_size=rows))
        columns[name] = series(kind, values)
    return pd.DataFrame(columns)


def series(kind: str, values: list[Any]) -> pd.Series[Any]:
    if kind == "category":
        return pd.Series(pd.Categorical(values, categories=["a", "b", "ü"]))
    dtype = {"nullable float": "float64", "nullable str": "str"}.get(kind, kind)
    return pd.Series(values, dtype=dtype)  # type: ignore[call-overload,no-any-return]


@given(frames())
@settings(deadline=None, max_examples=150)
def test_any_frame_that_fits_passes_and_comes_back(frame: pd.DataFrame) -> None:
    signature = read_sample(frame).signature
    back = to_container(decode(signature, to_request(frame)))
    pd.testing.assert_frame_equal(back, frame, check_dtype=True, check_index_type=False)


@given(frames(), st.data())
@settings(deadline=None, max_examples=200)
def test_any_mutation_is_refused_with_the_field_named(frame: pd.DataFrame, data: st.DataObject) -> None:
    signature = read_sample(frame).signature
    rows = copy.deepcopy(to_request(frame))
    i = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(signature.columns))
    mutation = data.draw(st.sampled_from(["drop", "add", "rename", "list", "object", "kind", "null"]))
    if mutation == "drop":
        del rows[i][column.name]
    elif mutation == "add":
        extra = column.name + "_"
        rows[i][extra] = 1
    elif mutation == "rename":
        rows[i][column.name + "_"] = rows[i].pop(column.name)
    elif mutation == "list":
        rows[i][column.name] = [rows[i][column.name]]
    elif mutation == "object":
        rows[i][column.name] = {"value": 1}
    elif mutation == "kind":
        number = column.dtype[:3].lower() in ("flo", "int", "uin")
        rows[i][column.name] = "12,5 and more" if number else 12.5
    elif column.nullable:
        return
    else:
        rows[i][column.name] = None
    if any(c.dtype == "object" for c in signature.columns):
        return  # a column where all is missing has no kind: it takes anything
    with pytest.raises(InvalidInputs) as caught:
        decode(signature, rows)
    assert caught.value.field is not None
    assert caught.value.field.startswith(f"inputs[{i}].") or caught.value.field == f"inputs[{i}]"
    if mutation != "add":
        assert column.name in caught.value.field


@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 4), min_size=0, max_size=3),
    st.sampled_from(["float64", "float32", "int64", "uint8", "bool"]),
    st.data(),
)
@settings(deadline=None, max_examples=100)
def test_arrays_pass_and_rows_of_another_length_do_not(
    rows: int, shape: list[int], dtype: str, data: st.DataObject
) -> None:
    sample = np.random.default_rng(0).integers(0, 2, (rows, *shape)).astype(dtype)
    signature = read_sample(sample).signature
    request = to_request(sample)
    back = to_container(decode(signature, request))
    assert back.dtype == sample.dtype
    assert (back == sample).all()
    i = data.draw(st.integers(0, rows - 1))
    request[i] = [*request[i], request[i][0]] if shape else [request[i]]
    with pytest.raises(InvalidInputs) as caught:
        decode(signature, request)
    assert caught.value.field is not None
    assert caught.value.field.startswith(f"inputs[{i}]")
