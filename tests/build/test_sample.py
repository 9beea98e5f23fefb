"""The sample → the signature; what is no sample is refused in clear words."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from autodeploy_magic.build.sample import read_sample, take
from autodeploy_magic.errors import BadSample, BodyTooLarge, InvalidInputs
from autodeploy_magic.wire import decode, to_container, to_request
from autodeploy_magic.wire.join import join, part, shape_of


def columns(sample: Any) -> list[tuple[str, str, tuple[int, ...], bool]]:
    return [(c.name, c.dtype, c.shape, c.nullable) for c in read_sample(sample).signature.columns]


def test_a_frame_is_described_column_by_column(people: Any) -> None:
    table, _ = people
    table = table.assign(size=pd.Categorical(["S", "L"] * 120, categories=["S", "M", "L"]))
    signature = read_sample(table).signature
    assert signature.container == "dataframe"
    assert columns(table) == [
        ("age", "float64", (), True),
        ("children", "int64", (), False),
        ("city", "str", (), True),
        ("member", "bool", (), False),
        ("size", "str", (), False),
    ]
    assert signature.columns[-1].categories == ("S", "M", "L")
    assert (signature.columns[1].minimum, signature.columns[1].maximum) == (0.0, 3.0)


@pytest.mark.parametrize(
    ("sample", "container", "expected"),
    [
        (np.zeros((3, 4)), "ndarray", ("float64", (4,), False)),
        (np.zeros(3, dtype="int8"), "ndarray", ("int8", (), False)),
        (np.zeros((2, 3, 8, 8), dtype="float32"), "ndarray", ("float32", (3, 8, 8), False)),
        (np.array([[1.0, np.nan]]), "ndarray", ("float64", (2,), True)),
        (np.array([[1.0, np.inf]]), "ndarray", ("float64", (2,), True)),
        (np.array(["a", "b"]), "ndarray", ("str", (), False)),
        ([[1, 2], [3, 4]], "list", ("int64", (2,), False)),
        ([[1, 2.5], [3, None]], "list", ("float64", (2,), True)),
        (["good", "bad"], "list", ("str", (), False)),
        (["good", None], "list", ("str", (), True)),
        (((1.0, 2.0), (3.0, 4.0)), "list", ("float64", (2,), False)),
        ([{"a": 1}, {"a": 2, "b": "x"}], "list", ("object", (), False)),
        (pd.Series(["good", "bad"]), "list", ("str", (), False)),
        (pd.Series([1.5, 2.5]), "ndarray", ("float64", (), False)),
    ],
)
def test_arrays_and_lists_are_one_column(sample: Any, container: str, expected: tuple[Any, ...]) -> None:
    found = read_sample(sample).signature
    assert found.container == container
    (column,) = found.columns
    assert (column.name, column.dtype, column.shape, column.nullable) == ("inputs", *expected)


def test_a_dict_has_a_column_for_each_name() -> None:
    sample = {"picture": np.zeros((2, 4, 4), dtype="uint8"), "title": ["a", "b"]}
    assert columns(sample) == [("picture", "uint8", (4, 4), False), ("title", "str", (), False)]


def generator() -> Any:
    yield [1, 2]


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (None, "there is no sample"),
        ([], "no rows"),
        (np.zeros((0, 4)), "no rows"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pd.DataFrame(index=[0, 1]), "no columns"),
        (np.float64(3), "holds no rows"),
        (np.array(3.0), "one number"),
        (generator(), "read once"),
        ("X_test", "list of texts"),
        ({}, "empty dict"),
        ({"a": 1, "b": 2}, r"\[record\]"),
        ({"a": [1, 2], "b": [1]}, "different lengths"),
        ({1: [1]}, "not text"),
        ([[1, 2], [[3]]], "different lengths: 1, 2"),
        ([[1, "a"], [3]], "different lengths: 1, 2"),
        ([[1, 2], 3], "different lengths"),
        ([[], []], "empty"),
        (pd.DataFrame(np.zeros((2, 2)), columns=[1, "1"]), "several columns named '1'"),
        (pd.DataFrame(np.zeros((2, 2)), columns=[0.5, 1.5]), r"named by a float(?s:.*)astype\(str\)"),
        (pd.DataFrame(np.zeros((2, 1)), columns=pd.MultiIndex.from_tuples([("a", "b")])), "'_'.join"),
        (pd.DataFrame({"a": pd.to_datetime(["2026-01-01T00:00Z"])}), "tz_localize"),
        (pd.DataFrame({"a": [decimal.Decimal("1.5")]}), r"astype\(float\)"),
        (pd.DataFrame({"a": np.array([dt.date(2026, 1, 1)], dtype=object)}), "to_datetime"),
        (pl.LazyFrame({"a": [1]}), r"sample\.collect\(\)"),
        (pl.DataFrame({"a": [decimal.Decimal("1.5")]}), r"cast\(pl\.Float64\)"),
        (pl.DataFrame({"a": [dt.time(1, 2)]}), "Duration"),
        (pl.DataFrame({"a": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]}), "replace_time_zone"),
        (scipy.sparse.csr_matrix((2**13, 2**12)), "sample\\[:100\\]"),
        (pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]), "several columns named 'a'"),
        (np.zeros(2, dtype=complex), "JSON cannot say"),
        (np.zeros(2, dtype=[("a", "i4")]), "DataFrame"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "masked"),
        (pd.DataFrame({"when": pd.period_range("2026-01", periods=2, freq="M")}), "period"),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), "to_dense"),
        ([object(), object()], "cannot be sent"),
        (np.array([b"a", b"b"]), "JSON cannot say"),
        ({1, 2}, "holds no rows"),
    ],
)
def test_what_is_no_sample_is_refused(sample: Any, words: str) -> None:
    with pytest.raises(BadSample, match=f"(?s){words}") as caught:
        read_sample(sample)
    assert caught.value.fix


def test_a_sparse_matrix_comes_back_as_one() -> None:
    given = scipy.sparse.csr_matrix(np.eye(3))
    signature = read_sample(given).signature
    assert (signature.container, signature.library) == ("ndarray", "scipy")
    back = to_container(decode(signature, to_request(given)))
    assert scipy.sparse.issparse(back)
    assert (back != given).nnz == 0


def test_taking_rows_keeps_the_container_and_copies(people: Any) -> None:
    table, _ = people
    taken = take(table, [0, 2])
    taken.loc[:, "age"] = 0.0
    assert list(taken.index) == [0, 2]
    assert not (table.age == 0.0).any()
    assert take({"a": np.arange(3), "b": ["x", "y", "z"]}, [2])["b"] == ["z"]
    assert take((1, 2, 3), [1]) == [2]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}),
        pd.DataFrame({"a": pd.array([1.5, None], dtype="Float64")}),
        pd.DataFrame({"a": pd.array([True, False], dtype="boolean")}),
        pd.DataFrame({"a": pd.array(["x", None], dtype="string")}),
        pd.DataFrame({"a": pd.to_datetime(["2026-01-01", None])}),
        pd.DataFrame({"a": pd.to_timedelta(["1h", "2h"])}),
        pd.DataFrame({"a": pd.Categorical([1, 2])}),
        pd.DataFrame({"a": [True, None]}),
        pd.DataFrame({"a": pd.array([True, None], dtype="boolean")}),
        pd.DataFrame({"a": [1, "x", None, 2.5, True]}),
        pd.DataFrame({"a": [[1, 2], [3]]}),
        pd.DataFrame({"a": [np.inf, np.nan, 1.0]}).replace(np.inf, np.nan),
        pd.DataFrame(np.arange(6.0).reshape(2, 3)),
        pd.DataFrame({"a": [1.5, 2.5]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)])),
        pd.DataFrame({"a": np.array([1, 2], dtype="uint8"), "b": np.array([0.5, 1], dtype="float32")}),
    ],
    ids=lambda table: str(table.dtypes.iloc[0]),
)
def test_every_dtype_that_is_taken_travels(table: pd.DataFrame) -> None:
    signature = read_sample(table).signature
    back = to_container(decode(signature, to_request(table)))
    plain = {"string": "str", "category": "int64"}.get(str(table.dtypes.iloc[0]))  # the only two that change
    wanted = table.astype(plain) if plain else table
    pd.testing.assert_frame_equal(back, wanted.reset_index(drop=True), check_column_type=False)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int64[pyarrow]", "int64"),
        ([1, None], "uint8[pyarrow]", "UInt8"),
        ([1.5, None], "double[pyarrow]", "float64"),
        ([True, None], "bool[pyarrow]", "boolean"),
        (["x", None], pd.ArrowDtype(pa.string()), "str"),
        (["x", None], pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())), "str"),
        ([pd.Timestamp("2026-01-01"), None], "timestamp[us][pyarrow]", "datetime64[us]"),
        ([dt.date(2026, 1, 1), None], "date32[pyarrow]", "datetime64[ms]"),
    ],
)
def test_columns_that_pyarrow_holds_become_plain_ones(values: list[Any], dtype: Any, expected: str) -> None:
    sample = read_sample(pd.DataFrame({"a": pd.Series(values, dtype=dtype), "b": range(2)}))
    assert sample.signature.columns[0].dtype == expected
    back = to_container(decode(sample.signature, to_request(sample.container)))
    pd.testing.assert_frame_equal(back, sample.container)


def test_a_frame_made_of_an_array_keeps_its_whole_numbers_as_names() -> None:
    table = pd.DataFrame(np.arange(6.0).reshape(3, 2))
    signature = read_sample(table).signature
    assert [(column.name, column.label) for column in signature.columns] == [("0", 0), ("1", 1)]
    assert to_request(table)[0] == {"0": 0.0, "1": 1.0}
    assert list(to_container(decode(signature, [{"0": 1, "1": 2}])).columns) == [0, 1]


LISTS = [[1, 2, 3], [4], [5, 6]]


@pytest.mark.parametrize(
    ("sample", "column"),
    [
        (LISTS, ("inputs", "int64", (-1,), False)),
        ([np.array([0.5]), np.array([1.0, 2.0])], ("inputs", "float64", (-1,), False)),
        ([[1, None], [2]], ("inputs", "float64", (-1,), True)),
        ([("a",), ("b", "c")], ("inputs", "str", (-1,), False)),
        ([[], [1]], ("inputs", "int64", (-1,), False)),
        ({"tokens": LISTS}, ("tokens", "int64", (-1,), False)),
    ],
)
def test_rows_of_different_lengths_are_one_column(sample: Any, column: tuple[Any, ...]) -> None:
    assert columns(sample) == [column]


def test_rows_of_different_lengths_come_back_as_lists() -> None:
    signature = read_sample(LISTS).signature
    for rows in (LISTS, LISTS[:1], [[1, 2], [3, 4]], [[], [7]]):
        assert to_container(decode(signature, rows)) == rows
    for rows, field in (
        ([[1, 2], [3, "x", 5]], "inputs[1][1]"),
        ([[1], [2, 2.5]], "inputs[1][1]"),
        ([[1], [2, None]], "inputs[1][1]"),
        ([[1], [2, [3]]], "inputs[1][1]"),
        ([[1, 2], 3], "inputs[1]"),
        ([1, 2], "inputs[0]"),
    ):
        with pytest.raises(InvalidInputs) as caught:
            decode(signature, rows)
        assert caught.value.field == field
    joined = join([decode(signature, LISTS[:2]), decode(signature, LISTS)])
    assert to_container(joined) == LISTS[:2] + LISTS
    assert to_container(part(joined, 2, 4)) == LISTS[:2]
    assert shape_of(decode(signature, LISTS)) != shape_of(decode(signature, LISTS[:1]))


def test_a_sample_of_more_rows_than_a_request_may_have_is_taken_and_the_request_refused() -> None:
    signature = read_sample(np.zeros((5000, 2))).signature
    with pytest.raises(BodyTooLarge, match="takes 4096"):
        decode(signature, np.zeros((5000, 2)).tolist(), max_rows=4096)
    with pytest.raises(InvalidInputs, match="at least one row"):
        decode(signature, [])
