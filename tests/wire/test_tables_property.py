"""A table is answered, or refused, as JSON with the same values is, whoever wrote it and in whatever form."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcomes import bodies, by_json, by_table

from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.wire import to_request

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

names = st.sampled_from(["age", "fare", "port", "ü", "a b", ""])
dates = st.datetimes(min_value=pd.Timestamp("1700-01-01"), max_value=pd.Timestamp("2200-01-01"))
finite = st.floats(allow_nan=False, allow_infinity=False)
letters = st.sampled_from(["a", "b", "ü"])

KINDS: dict[str, Any] = {
    "float64": st.none() | finite,
    "float32": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
    "float16": st.floats(allow_nan=False, allow_infinity=False, width=16),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int8": st.integers(-128, 127),
    "uint8": st.integers(0, 255),
    "uint64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "boolean": st.none() | st.booleans(),
    "str": st.none() | st.text(max_size=5),
    "category": st.none() | letters,
    "datetime64[ns]": st.none() | dates,
    "datetime64[s]": dates.map(lambda moment: moment.replace(microsecond=0)),
    "timedelta64[ns]": st.timedeltas(dt.timedelta(days=-9), dt.timedelta(days=9)),
    "Int64": st.none() | st.integers(-(2**53), 2**53),
    "UInt8": st.none() | st.integers(0, 255),
    "Float64": st.none() | finite,
    "date": dates.map(dt.datetime.date),
}


OTHERS = sorted(set(KINDS) - {"datetime64[s]", "timedelta64[ns]"})
"""Kinds that are worded in one way as text: a Series words spans unlike an array, Parquet has no seconds."""


def series(kind: str, values: list[Any]) -> pd.Series[Any]:
    if kind == "category":
        return pd.Series(pd.Categorical(values, categories=["a", "b", "ü"]))
    return pd.Series(values, dtype="object" if kind == "date" else kind)  # type: ignore[call-overload,no-any-return]


@st.composite
def frames(draw: st.DrawFn, among: Sequence[str] = tuple(KINDS)) -> pd.DataFrame:
    rows = draw(st.integers(1, 5))
    kinds = {name: draw(st.sampled_from(among)) for name in draw(st.lists(names, min_size=1, unique=True))}
    columns = {n: series(k, draw(st.lists(KINDS[k], min_size=rows, max_size=rows))) for n, k in kinds.items()}
    frame = pd.DataFrame(columns)
    return frame.iloc[::-1] if draw(st.booleans()) else frame  # whose index pandas writes as a column


def as_columns(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): to_request(frame.iloc[:, i]) for i, name in enumerate(frame.columns)}


def signature_of(frame: pd.DataFrame) -> Signature:
    """Dates in a column of objects are no sample's; what they are sent as is in a column of anything."""
    columns = {n: s.map(lambda day: [day.isoformat()]) if s.dtype == "object" else s for n, s in frame.items()}
    return read_sample(pd.DataFrame(columns)).signature


@given(frames())
@SLOW
def test_a_frame_of_pandas(frame: pd.DataFrame) -> None:
    signature = signature_of(frame)
    wanted = by_json(signature, as_columns(frame))
    assert wanted[0] == "rows"
    assert by_json(signature, to_request(frame)) == wanted
    for name, (form, body) in bodies(pa.Table.from_pandas(frame)).items():
        assert by_table(signature, form, body) == wanted, name


@given(frames(), frames(OTHERS))
@settings(SLOW, max_examples=150)
def test_one_that_does_not_fit_is_refused_for_the_same_value(sample: pd.DataFrame, frame: pd.DataFrame) -> None:
    signature = signature_of(sample)
    wanted = by_json(signature, as_columns(frame))
    for name, (form, body) in list(bodies(pa.Table.from_pandas(frame)).items())[::4]:
        assert by_table(signature, form, body) == wanted, name


@given(st.sampled_from(sorted(KINDS)), st.sampled_from(OTHERS), st.data())
@settings(SLOW, max_examples=300)
def test_a_column_of_another_kind(wanted: str, given: str, data: st.DataObject) -> None:
    """As above, where one column is all there is, so that it is its values that are judged."""
    rows = data.draw(st.integers(1, 4))
    sample = pd.DataFrame({"x": series(wanted, data.draw(st.lists(KINDS[wanted], min_size=rows, max_size=rows)))})
    frame = pd.DataFrame({"x": series(given, data.draw(st.lists(KINDS[given], min_size=rows, max_size=rows)))})
    signature = signature_of(sample)
    expected = by_json(signature, as_columns(frame))
    for name, (form, body) in list(bodies(pa.Table.from_pandas(frame)).items())[::3]:
        assert by_table(signature, form, body) == expected, name


POLARS: dict[str, tuple[Any, Column, Any]] = {
    "f64": (pl.Float64, Column(name="", dtype="float64", nullable=True), st.none() | finite),
    "f32": (pl.Float32, Column(name="", dtype="float64", nullable=True), st.floats(-9, 9, width=32)),
    "i8": (pl.Int8, Column(name="", dtype="int64"), st.none() | st.integers(-128, 127)),
    "u64": (pl.UInt64, Column(name="", dtype="int64"), st.integers(0, 2**64 - 1)),
    "bool": (pl.Boolean, Column(name="", dtype="bool", nullable=True), st.none() | st.booleans()),
    "string": (pl.String, Column(name="", dtype="str", nullable=True), st.none() | st.text(max_size=20)),
    "categorical": (pl.Categorical, Column(name="", dtype="str", categories=("a", "b")), st.none() | letters),
    "enum": (pl.Enum(["a", "b", "ü"]), Column(name="", dtype="str", categories=("a", "b")), letters),
    "date": (pl.Date, Column(name="", dtype="datetime64[ns]"), dates.map(dt.datetime.date)),
    "datetime": (pl.Datetime("us"), Column(name="", dtype="datetime64[ns]", nullable=True), st.none() | dates),
    "utc": (pl.Datetime("us", "UTC"), Column(name="", dtype="datetime64[ns]"), dates),
    "duration": (
        pl.Duration("us"),
        Column(name="", dtype="timedelta64[ns]"),
        st.timedeltas(dt.timedelta(-9), dt.timedelta(9)),
    ),
    "array": (pl.Array(pl.Float64, 2), Column(name="", dtype="float64", shape=(2,)), st.tuples(finite, finite)),
    "list": (
        pl.List(pl.Int64),
        Column(name="", dtype="float32", shape=(2,)),
        st.none() | st.lists(st.none() | st.integers(-9, 9), min_size=2, max_size=2) | st.just([1, 2, 3]),
    ),
    "texts": (pl.List(pl.String), Column(name="", dtype="str", shape=(2,)), st.lists(letters, min_size=2, max_size=2)),
    "null": (pl.Null, Column(name="", dtype="float64", nullable=True), st.none()),
    "struct": (pl.Struct({"a": pl.Int64}), Column(name="", dtype="float64"), st.fixed_dictionaries({"a": st.just(1)})),
}
"""What a column of polars is, what it is sent to, its values."""


@given(st.lists(st.sampled_from(sorted(POLARS)), min_size=1, max_size=5, unique=True), st.integers(1, 4), st.data())
@SLOW
def test_a_frame_of_polars(kinds: list[str], rows: int, data: st.DataObject) -> None:
    values = {kind: data.draw(st.lists(POLARS[kind][2], min_size=rows, max_size=rows)) for kind in kinds}
    frame = pl.DataFrame({kind: pl.Series(values[kind], dtype=POLARS[kind][0]) for kind in kinds})
    columns = [Column(**{f: getattr(POLARS[k][1], f) for f in Column.__struct_fields__} | {"name": k}) for k in kinds]
    signature = Signature(container="dataframe", columns=tuple(columns))
    wanted = by_json(signature, {kind: to_request(values[kind]) for kind in kinds})
    for compression in ("uncompressed", "lz4", "zstd"):
        for form, write in (("file", frame.write_ipc), ("stream", frame.write_ipc_stream)):
            sink = io.BytesIO()
            write(sink, compression=compression)
            assert by_table(signature, form, sink.getvalue()) == wanted, (form, compression)
        sink = io.BytesIO()
        frame.write_parquet(sink, compression=compression)
        assert by_table(signature, "parquet", sink.getvalue()) == wanted, ("parquet", compression)


ELEMENTS = {"float64": finite, "float32": st.floats(-9, 9, width=32), "int64": st.integers(-(2**40), 2**40)}


@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 3), max_size=3),
    st.sampled_from(sorted(ELEMENTS)),
    st.sampled_from(["float64", "float32", "int64", "uint8"]),
    st.data(),
)
@SLOW
def test_arrays_as_lists_and_side_by_side(
    rows: int, shape: list[int], given: str, wanted: str, data: st.DataObject
) -> None:
    count = rows * int(np.prod(shape))
    flat = data.draw(st.lists(ELEMENTS[given], min_size=count, max_size=count))
    values = np.array(flat, dtype=given).reshape(rows, *shape)
    signature = Signature(container="ndarray", columns=(Column(name="inputs", dtype=wanted, shape=tuple(shape)),))
    expected = by_json(signature, to_request(values))
    for list_kind in (pa.list_, pa.large_list, None):
        column = pa.array(values.reshape(-1))
        for size in reversed(shape):
            if list_kind is None:
                column = pa.FixedSizeListArray.from_arrays(column, size)
            else:
                offsets = np.arange(0, len(column) + 1, size, dtype="int32" if list_kind is pa.list_ else "int64")
                kind = pa.ListArray if list_kind is pa.list_ else pa.LargeListArray
                column = kind.from_arrays(offsets, column)
        for name, (form, body) in list(bodies(pa.table({"x": column})).items())[::4]:
            assert by_table(signature, form, body) == expected, (list_kind, name)
    if len(shape) == 1:
        table = pa.table([pa.array(values[:, i]) for i in range(shape[0])], names=[f"c{i}" for i in range(shape[0])])
        for name, (form, body) in list(bodies(table).items())[::4]:
            assert by_table(signature, form, body) == expected, name


@pytest.mark.parametrize("rows", [[{"a": 1, "b": "x"}, {"a": None, "b": "y"}], [{"a": [1, 2]}, {"a": []}]])
def test_a_list_of_records(rows: list[dict[str, Any]]) -> None:
    signature = Signature(container="list", columns=(Column(name="inputs", dtype="object"),))
    expected = by_json(signature, rows)
    assert expected[0] == "rows"
    keys = list(rows[0])
    for table in (pa.table({"inputs": rows}), pa.table({key: [row[key] for row in rows] for key in keys})):
        if len(keys) == 1 and "inputs" not in table.column_names:
            continue  # one column is the rows themselves
        for name, (form, body) in bodies(table).items():
            assert by_table(signature, form, body) == expected, name
