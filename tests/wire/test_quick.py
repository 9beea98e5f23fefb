"""The short way of reading a request answers what the thorough way does, or leaves it to that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.wire import decode
from autodeploy_magic.wire.quick import MOST_ROWS, QuickReader

numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.integers(-(2**70), 2**70), st.just(10**400), st.booleans()
)
values = st.one_of(numbers, numbers, numbers, st.none(), st.text(max_size=2), st.lists(numbers, max_size=2))


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    dtype = draw(st.sampled_from(["float64", "float32", "int64", "str"]))
    nullable = draw(st.booleans())
    width = draw(st.integers(1, 4))
    if draw(st.booleans()):
        columns = tuple(Column(name=f"c{i}", dtype=dtype, nullable=nullable) for i in range(width))
        return Signature(container="dataframe", columns=columns)
    shape = draw(st.sampled_from([(width,), (), (width, 2), (-1,)]))
    column = Column(name="inputs", dtype=dtype, shape=shape, nullable=nullable)
    return Signature(container=draw(st.sampled_from(["ndarray", "list"])), columns=(column,))


@st.composite
def requests(draw: st.DrawFn) -> tuple[Signature, Any]:
    signature = draw(signatures())
    width = max(len(signature.columns), *signature.columns[0].shape, 1)
    usual = st.lists(st.floats(-1e30, 1e30), min_size=width, max_size=width)
    odd = st.lists(values, max_size=width + 1)
    records = st.fixed_dictionaries({f"c{i}": numbers for i in range(width)})
    row = st.one_of(usual, usual, odd, records, values)
    return signature, draw(st.one_of(st.lists(row, max_size=MOST_ROWS + 2), row))


@given(requests())
def test_it_reads_what_the_thorough_way_reads(case: tuple[Signature, Any]) -> None:
    signature, inputs = case
    quick = QuickReader(signature).read(inputs)
    try:
        thorough = decode(signature, inputs)
    except InvalidInputs:
        assert quick is None
        return
    if quick is None:
        return
    assert quick.rows == thorough.rows
    assert list(quick.columns) == list(thorough.columns)
    for name, found in thorough.columns.items():
        assert quick.columns[name].dtype == found.dtype
        assert np.array_equal(quick.columns[name], found)


@given(st.lists(st.lists(st.floats(-1e300, 1e300), min_size=3, max_size=3), min_size=1, max_size=MOST_ROWS))
def test_the_usual_request_goes_the_short_way(rows: list[list[float]]) -> None:
    array = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(3,)),))
    table = Signature(container="dataframe", columns=tuple(Column(name=n, dtype="float64") for n in "abc"))
    records = [dict(zip("cab", [row[2], row[0], row[1]], strict=True)) for row in rows]
    overflows = not math.isfinite(sum(value for row in rows for value in row))
    for signature, inputs in ((array, rows), (table, rows), (table, records)):
        batch = QuickReader(signature).read(inputs)
        assert (batch is None) is overflows
        if batch is not None:
            assert np.array_equal(np.column_stack(list(batch.columns.values())).reshape(len(rows), 3), rows)
