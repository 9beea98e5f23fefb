"""Requests joined and split again are what they were, whatever they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.wire import Batch, decode
from autodeploy_magic.wire.join import join, part, shape_of, split

DTYPES = ("float64", "float32", "int64", "uint8", "bool", "datetime64[ns]", "timedelta64[s]", "object", "<U3")
TAILS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (3,), (2, 2), (2, 0, 3))


def values(dtype: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray[Any, Any]:
    """An array with all that its dtype can hold in it: NaN and NaT, None, texts."""
    if dtype == "object":
        choices = np.array([None, "ä", 1, 2.5, True], dtype=object)
        return choices[random.integers(0, len(choices), shape)]
    raw = random.integers(0, 200, shape)
    if dtype == "<U3":
        return raw.astype(dtype)
    found = raw.astype(dtype)
    if found.dtype.kind in "fmM":
        found[random.random(shape) < 0.2] = np.nan if found.dtype.kind == "f" else "NaT"
    return found


@st.composite
def requests(draw: st.DrawFn) -> list[Batch]:
    """Batches of one signature, 1 to 4 rows each: columns of any dtype, or all columns of a table as one matrix."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    if draw(st.booleans()):
        width = draw(st.integers(1, 5))
        signature = Signature(
            container="dataframe", columns=tuple(Column(name=f"c{i}", dtype="float64") for i in range(width))
        )
        return [decode(signature, values("int64", (rows, width), random).astype(float).tolist()) for rows in sizes]
    columns = draw(st.lists(st.tuples(st.sampled_from(DTYPES), st.sampled_from(TAILS)), min_size=1, max_size=4))
    signature = Signature(
        container="dict", columns=tuple(Column(name=f"c{i}", dtype=d, shape=t) for i, (d, t) in enumerate(columns))
    )
    return [
        Batch(signature, rows, {f"c{i}": values(d, (rows, *t), random) for i, (d, t) in enumerate(columns)})
        for rows in sizes
    ]


def same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Equal with its dtype and shape, a gap equal to a gap."""
    gaps = a.dtype.kind in "fmM"
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=gaps))


@given(requests())
def test_joined_batches_have_the_rows_of_each_in_their_order(batches: list[Batch]) -> None:
    joined = join(batches)
    assert joined.rows == sum(batch.rows for batch in batches)
    start = 0
    for batch in batches:
        mine = part(joined, start, start + batch.rows)
        start += batch.rows
        assert mine.rows == batch.rows
        assert shape_of(mine) == shape_of(batch) == shape_of(joined)
        assert list(mine.columns) == list(batch.columns)
        assert all(same(mine.columns[name], batch.columns[name]) for name in batch.columns)
        assert (mine.matrix is None) == (batch.matrix is None)
        if batch.matrix is not None:
            assert mine.matrix is not None
            assert same(mine.matrix, batch.matrix)


@given(requests())
def test_outputs_are_split_as_the_rows_were_joined(batches: list[Batch]) -> None:
    lists = {"list": [[i, str(i)] for i in range(sum(batch.rows for batch in batches))]}
    parts = split({**join(batches).columns, **lists}, [batch.rows for batch in batches])
    assert len(parts) == len(batches)
    for batch, outputs in zip(batches, parts, strict=True):
        assert all(same(outputs[name], batch.columns[name]) for name in batch.columns)
        assert len(outputs["list"]) == batch.rows
    assert [item for outputs in parts for item in outputs["list"]] == lists["list"]


def test_a_matrix_stays_one() -> None:
    """The runner takes it as it is: columns put side by side again would cost more than the joining."""
    signature = Signature(container="dataframe", columns=(Column(name="a", dtype="float64"),))
    joined = join([decode(signature, [[1.0]]), decode(signature, [[2.0], [3.0]])])
    assert joined.matrix is not None
    assert joined.matrix.tolist() == [[1.0], [2.0], [3.0]]
    assert np.shares_memory(joined.columns["a"], joined.matrix)


@pytest.mark.parametrize("values", [np.zeros(4), np.zeros((4, 2)), [1, 2, 3, 4], np.zeros(2), []])
def test_an_output_that_is_not_one_item_a_row_is_not_split(values: Any) -> None:
    with pytest.raises(ValueError, match="predictions has"):
        split({"predictions": values}, [1, 2])


def test_what_must_not_be_joined_has_another_shape() -> None:
    signature = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(-1,)),))
    short, long = decode(signature, [[1.0, 2.0]]), decode(signature, [[1.0, 2.0, 3.0]])
    assert shape_of(short) != shape_of(long)
    missing = Signature(container="dict", columns=(Column(name="a", dtype="bool", nullable=True),))
    assert shape_of(decode(missing, {"a": [True]})) != shape_of(decode(missing, {"a": [None]}))
