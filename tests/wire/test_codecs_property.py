"""JSON rows, records and columns: whatever a client sends, it is the right rows or a refusal that names the field."""

from __future__ import annotations

import math
import time
import tracemalloc
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from outcomes import MAX_ROWS, outcome

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.wire import decode, to_container
from autodeploy_magic.wire.columns import kind_of

QUICK = settings(deadline=None, max_examples=300)

WORDS = (
    "|a|b|NaT|now|today|2026|20260131|2026-01-31|2026-02-30|2026-01-31T25:00|99999-01-01|2026-01-31T12:00:00Z"
    "|2026-01-31T12:00:00+01:00|2026-01-31 12:00:00.123456789|0001-01-01|1e5|٣|1 day|P1D|-1 days +23:59:59|1000000 days"
    "|9999999999999999999|99999999999999999999999999|nan|inf|\x00|a\u0301|\U0001f600"
)
words = st.sampled_from(WORDS.split("|"))
whole = (
    0,
    1,
    -1,
    127,
    128,
    -129,
    255,
    256,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    2**64 - 1,
    2**64,
    10**400,
)
floats = (
    -0.0,
    0.1,
    1.5,
    2.0,
    65504.0,
    65520.0,
    3.5e38,
    1e300,
    9.223372036854775807e18,
    1.8446744073709551615e19,
    5e-324,
)
# The last three no JSON brings; CSV does.
numbers = st.sampled_from([*whole, *floats, math.inf, -math.inf, math.nan])
single = st.none() | st.booleans() | numbers | words | st.text(max_size=3)
anything = st.recursive(
    single, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=3), max_leaves=12
)
names = ["a", "b"]
DTYPES = [
    *("float64", "float32", "float16", "int64", "int8", "uint64", "bool", "str", "object", "Int64", "UInt8", "Float32"),
    *("datetime64[ns]", "datetime64[D]", "datetime64[s]", "timedelta64[ns]", "timedelta64[s]"),
]


@st.composite
def columns(draw: st.DrawFn, name: str, shaped: bool) -> Column:
    # A frame has no days.
    dtype = draw(st.sampled_from(DTYPES).filter(lambda dtype: name == "inputs" or dtype != "datetime64[D]"))
    few = ("a", "b") if dtype == "str" and draw(st.booleans()) else None
    extension = dtype[0].isupper()
    return Column(
        name=name,
        dtype=dtype,
        shape=() if extension or not shaped else tuple(draw(st.lists(st.sampled_from([1, 2, -1]), max_size=2))),
        nullable=draw(st.booleans()),
        categories=few if draw(st.booleans()) else None,
        known=few,
    )


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    container = draw(st.sampled_from(["dataframe", "dict", "ndarray", "list"]))
    if container in ("ndarray", "list"):
        return Signature(container=container, columns=(draw(columns("inputs", True)),))
    return Signature(container=container, columns=tuple(draw(columns(name, container == "dict")) for name in names))


def like(column: Column) -> st.SearchStrategy[Any]:
    """Values that are nested as the column's are."""
    found: st.SearchStrategy[Any] = single
    for size in reversed(column.shape):
        found = st.lists(found, min_size=max(size, 0), max_size=size if size > 0 else 2)
    return found


@given(signatures(), anything)
@QUICK
@example(Signature(container="dataframe", columns=(Column(name="a", dtype="str"),)), [{}])
@example(Signature(container="dataframe", columns=(Column(name="a", dtype="str"),)), {})
@example(Signature(container="dict", columns=(Column(name="a", dtype="float64", shape=(2,)),)), [[[1, 2]], [[1]]])
def test_anything(signature: Signature, inputs: Any) -> None:
    assert outcome(lambda: decode(signature, inputs, max_rows=MAX_ROWS))


@given(signatures(), st.integers(1, 3), st.sampled_from(["rows", "records", "columns"]), st.data())
@settings(QUICK, max_examples=1000)
def test_what_is_accepted_is_what_was_sent(signature: Signature, rows: int, way: str, data: st.DataObject) -> None:
    values = {
        column.name: data.draw(st.lists(like(column), min_size=rows, max_size=rows)) for column in signature.columns
    }
    sent: Any = values
    if signature.container in ("ndarray", "list"):
        sent = values["inputs"]
    elif way == "records":
        sent = [{name: values[name][i] for name in names} for i in range(rows)]
    elif way == "rows":
        sent = [[values[name][i] for name in names] for i in range(rows)]
    found = outcome(lambda: decode(signature, sent, max_rows=MAX_ROWS))
    if found[0] != "rows":
        return
    batch = decode(signature, sent)
    assert batch.rows == rows
    for column in signature.columns:
        array = batch.columns[column.name]
        leaves = _leaves(values[column.name], len(column.shape) + 1)
        dtype = array.dtype
        if array.ndim == len(column.shape):  # lists of different lengths
            array = np.array([*chain.from_iterable(array.tolist())], dtype=object)
            dtype = np.dtype(column.dtype) if kind_of(column) in ("number", "time") else dtype
        assert array.size == len(leaves)
        for got, sent_one in zip(array.reshape(-1).tolist(), leaves, strict=True):
            _check_value(column, dtype, got, sent_one)
    to_container(batch)  # which does not fail on what was accepted


def _leaves(value: Any, depth: int) -> list[Any]:
    return [value] if depth == 0 else [leaf for item in value for leaf in _leaves(item, depth - 1)]


def _check_value(column: Column, dtype: np.dtype[Any], got: Any, given: Any) -> None:
    if given is None or given != given:
        assert column.nullable
        assert got is None or got != got
    elif dtype.kind == "f":
        with np.errstate(over="ignore"):
            assert got == np.array(float(given)).astype(dtype)
    elif dtype.kind in "mM":
        assert got is not None
    elif column.dtype == "Float32":
        assert got == pytest.approx(float(given), rel=1e-6)
    else:
        assert got == given
        assert column.dtype != "str" or type(got) is str


TABLE = Signature(
    container="dataframe",
    columns=(Column(name="age", dtype="int64"), Column(name="fare", dtype="float64"), Column(name="port", dtype="str")),
)
MATRIX = Signature(container="dataframe", columns=tuple(Column(name=f"c{i}", dtype="float64") for i in range(4)))
ARRAY = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(4,)),))
RECORD = {"age": 1, "fare": 1.0, "port": "S"}

LARGE: dict[str, tuple[Signature, Any]] = {
    "one long text among numbers": (MATRIX, [[1.0, 2.0, 3.0, "x" * 1_000_000]] + [[1.0] * 4] * 9_999),
    "the same in an array": (ARRAY, [[1.0] * 4] * 9_999 + [[1.0, 2.0, 3.0, "x" * 1_000_000]]),
    "the same in a column": (
        TABLE,
        {"age": ["x" * 1_000_000] + [1] * 9_999, "fare": [1.0] * 10_000, "port": ["S"] * 10_000},
    ),
    "a column's name": (TABLE, [{**RECORD, "x" * 1_000_000: 1}]),
    "many names": (TABLE, [{f"column {i:06}": 1 for i in range(200_000)}]),
    "many names alike": (TABLE, [{"fare": 1.0, "port": "S", **{f"age{i:06}": 1 for i in range(200_000)}}]),
    "many columns of many lengths": (TABLE, {f"c{i}": [1] * (i % 7) for i in range(100_000)}),
    "a long number": (TABLE, [{**RECORD, "age": 10**4000}]),
    "a long text for a date": (
        Signature(container="list", columns=(Column(name="inputs", dtype="datetime64[ns]"),)),
        ["2" * 1_000_000],
    ),
    "a long text for a span": (
        Signature(container="list", columns=(Column(name="inputs", dtype="timedelta64[ns]"),)),
        ["1 day " * 200_000],
    ),
    "a wide row": (ARRAY, [[1.0] * 1_000_000]),
    "a deep row": (ARRAY, [msgspec.json.decode(b"[" * 200 + b"]" * 200)]),
}


@pytest.mark.parametrize("name", LARGE)
def test_neither_time_nor_memory_nor_words_grow_with_what_is_wrong(name: str) -> None:
    signature, inputs = LARGE[name]
    tracemalloc.start()
    began = time.process_time()
    assert outcome(lambda: decode(signature, inputs, max_rows=10_000))[0] in ("InvalidInputs", "BodyTooLarge")
    seconds = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 1024 * 1024
    assert seconds < 10  # under tracemalloc; what grew with the square took minutes


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int8", "uint8", "Int64", "UInt8"])
def test_whole_numbers_at_their_edges(dtype: str) -> None:
    limits = np.iinfo(dtype.lower())
    signature = Signature(container="dataframe", columns=(Column(name="x", dtype=dtype),))
    for value in (limits.min, limits.max, 0, float(limits.min)):
        assert decode(signature, {"x": [value, 1]}).columns["x"].tolist() == [value, 1]
        assert decode(signature, {"x": [value, 1.0]}).columns["x"].tolist() == [value, 1]
    for value in (limits.min - 1, limits.max + 1, float(limits.max + 1), 1e300, 0.5, math.inf, math.nan):
        assert outcome(lambda value=value: decode(signature, {"x": [1, value]})) == ("InvalidInputs", "inputs[1].x")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000000000"),
        ("2026-01-31T12:30:00Z", "2026-01-31T12:30:00.000000000"),
        ("2026-01-31T12:30:00+00:00", "2026-01-31T12:30:00.000000000"),
        ("2026-01-31 12:30:00.123456789", "2026-01-31T12:30:00.123456789"),
        ("2262-04-11T23:47:16.854775807", "2262-04-11T23:47:16.854775807"),
        ("2262-04-11T23:47:16.854775808", None),
        ("1677-09-20", None),
        ("2026-01-31T12:30:00+01:00", None),
        ("2026-02-29", None),
        ("20260131", None),
        ("now", None),
        ("NaT", None),
        ("", None),
        ("2026-01-31T12:30:00.1234567891", None),
    ],
)
def test_dates(text: str, wanted: str | None) -> None:
    signature = Signature(container="dataframe", columns=(Column(name="x", dtype="datetime64[ns]"),))
    if wanted is None:
        assert outcome(lambda: decode(signature, {"x": [text]})) == ("InvalidInputs", "inputs[0].x")
    else:
        found = decode(signature, {"x": [text]}).columns["x"]
        assert np.datetime_as_string(found).tolist() == [wanted]
