"""The sample → the signature; what is no sample is refused in clear words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autodeploy_magic.build.sample import read_sample, take
from autodeploy_magic.errors import BadSample
from autodeploy_magic.wire import decode, to_container, to_request


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
        ([[1, 2], [3]], "different lengths: 1, 2"),
        ([[1, 2], 3], "different lengths"),
        ([[], []], "empty"),
        (pd.DataFrame(np.zeros((2, 2))), "named by a int"),
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


def test_a_sparse_matrix_is_refused_with_what_to_do() -> None:
    import scipy.sparse

    with pytest.raises(BadSample, match="toarray"):
        read_sample(scipy.sparse.csr_matrix(np.eye(3)))


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
        pd.DataFrame({"a": np.array([1, 2], dtype="uint8"), "b": np.array([0.5, 1], dtype="float32")}),
    ],
    ids=lambda table: str(table.dtypes.iloc[0]),
)
def test_every_dtype_that_is_taken_travels(table: pd.DataFrame) -> None:
    signature = read_sample(table).signature
    back = to_container(decode(signature, to_request(table)))
    assert list(back.columns) == list(table.columns)
    assert back.isna().to_numpy().tolist() == table.isna().to_numpy().tolist()
