"""Requests: what fits the signature passes, what does not is refused with the field named."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import BodyTooLarge, InvalidInputs
from autodeploy_magic.wire import decode, to_container, to_request

ARRAY = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(2,)),))
TABLE = Signature(
    container="dataframe",
    columns=(
        Column(name="age", dtype="int64"),
        Column(name="fare", dtype="float64", nullable=True),
        Column(name="port", dtype="str"),
        Column(name="alone", dtype="bool"),
        Column(name="deck", dtype="str", categories=("A", "B"), nullable=True),
        Column(name="day", dtype="datetime64[ns]"),
    ),
)
RECORD = {"age": 3, "fare": 1.5, "port": "S", "alone": True, "deck": "A", "day": "2026-01-31T00:00:00"}


def refused(signature: Signature, inputs: Any, field: str) -> InvalidInputs:
    with pytest.raises(InvalidInputs) as caught:
        decode(signature, inputs)
    assert caught.value.field == field
    return caught.value


def test_rows_of_an_array() -> None:
    batch = decode(ARRAY, [[1, 2.5], [3, 4]])
    assert batch.rows == 2
    x = to_container(batch)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, [[1, 2.5], [3, 4]])


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([[1, 2], [3]], "inputs[1]"),
        ([[1, 2], [3, 4, 5]], "inputs[1]"),
        ([[1, 2], [3, "x"]], "inputs[1][1]"),
        ([[1, "2"]], "inputs[0][1]"),
        ([[1, None]], "inputs[0][1]"),
        ([[1, [2]]], "inputs[0][1]"),
        ([[1, {}]], "inputs[0][1]"),
        ([1, 2], "inputs[0]"),
        ([[1, 2], 3], "inputs[1]"),
        ([], "inputs"),
        ({"a": [1]}, "inputs"),
        ("text", "inputs"),
        (None, "inputs"),
        (7, "inputs"),
        ([[1, float("inf")]], "inputs[0][1]"),
        ([[1, 10**400]], "inputs[0][1]"),
        ([[[1, 2]]], "inputs[0]"),
    ],
)
def test_rows_that_do_not_fit_an_array(inputs: Any, field: str) -> None:
    error = refused(ARRAY, inputs, field)
    assert error.fix


def test_a_row_without_its_brackets_says_to_wrap_it() -> None:
    assert "wrap" in refused(ARRAY, [1.0, 2.0], "inputs[0]").fix


@pytest.mark.parametrize(
    "inputs",
    [
        [RECORD, {**RECORD, "fare": None, "deck": None}],
        [list(RECORD.values()), list({**RECORD, "fare": None, "deck": None}.values())],
        {name: [value, None if name in ("fare", "deck") else value] for name, value in RECORD.items()},
    ],
    ids=["records", "rows", "columns"],
)
def test_three_ways_to_send_a_table(inputs: Any) -> None:
    frame = to_container(decode(TABLE, inputs))
    assert list(frame.columns) == list(RECORD)
    assert frame["age"].tolist() == [3, 3]
    assert frame["age"].dtype == np.int64
    assert frame["fare"].isna().tolist() == [False, True]
    assert frame["deck"].dtype == pd.CategoricalDtype(["A", "B"])
    assert frame["deck"].isna().tolist() == [False, True]
    assert frame["alone"].dtype == bool
    assert frame["day"].dtype == "datetime64[ns]"
    assert frame["day"][0] == pd.Timestamp("2026-01-31")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"age": 1.5}, "inputs[0].age"),
        ({"age": None}, "inputs[0].age"),
        ({"age": "3"}, "inputs[0].age"),
        ({"age": 2**63}, "inputs[0].age"),
        ({"fare": "1"}, "inputs[0].fare"),
        ({"fare": [1.0]}, "inputs[0].fare"),
        ({"port": 3}, "inputs[0].port"),
        ({"port": None}, "inputs[0].port"),
        ({"alone": 1}, "inputs[0].alone"),
        ({"deck": "Z"}, "inputs[0].deck"),
        ({"day": "soon"}, "inputs[0].day"),
        ({"day": 5}, "inputs[0].day"),
        ({"extra": 1}, "inputs[0].extra"),
    ],
)
def test_a_record_that_does_not_fit(change: dict[str, Any], field: str) -> None:
    refused(TABLE, [{**RECORD, **change}], field)


def test_a_missing_column_is_named_with_the_likely_typo() -> None:
    record = {("ages" if name == "age" else name): value for name, value in RECORD.items()}
    assert "rename 'ages' to 'age'" in refused(TABLE, [record], "inputs[0].age").fix


def test_columns_of_different_lengths() -> None:
    columns = {name: [value] for name, value in RECORD.items()}
    columns["age"] = [1, 2]
    refused(TABLE, columns, "inputs")


def test_too_many_rows() -> None:
    with pytest.raises(BodyTooLarge, match="3 rows"):
        decode(ARRAY, [[1, 2]] * 3, max_rows=2)


def test_pictures_keep_their_shape() -> None:
    signature = Signature(container="ndarray", columns=(Column(name="inputs", dtype="uint8", shape=(2, 3)),))
    picture = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    np.testing.assert_array_equal(to_container(decode(signature, to_request(picture))), picture)
    refused(signature, [[[0, 0, 256], [0, 0, 0]]], "inputs[0][0][2]")
    refused(signature, [[[0, 0], [0, 0, 0]]], "inputs[0][0]")


def test_texts() -> None:
    signature = Signature(container="list", columns=(Column(name="inputs", dtype="str"),))
    assert to_container(decode(signature, ["good", "bad"])) == ["good", "bad"]
    refused(signature, ["good", 3], "inputs[1]")


def test_named_arrays() -> None:
    signature = Signature(
        container="dict",
        columns=(Column(name="a", dtype="float32", shape=(2,)), Column(name="b", dtype="int64")),
    )
    arrays = {"a": np.ones((3, 2), dtype=np.float32), "b": np.arange(3)}
    found = to_container(decode(signature, to_request(arrays)))
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["b"], arrays["b"])


def test_a_frame_survives_the_way_through_json() -> None:
    frame = to_container(decode(TABLE, [RECORD, {**RECORD, "fare": None, "deck": "B"}]))
    sent = msgspec.json.decode(msgspec.json.encode(to_request(frame)))
    pd.testing.assert_frame_equal(to_container(decode(TABLE, sent)), frame)


def test_pandas_nullable_integers() -> None:
    signature = Signature(container="dataframe", columns=(Column(name="n", dtype="Int64", nullable=True),))
    frame = to_container(decode(signature, [{"n": 1}, {"n": None}]))
    assert frame["n"].dtype == "Int64"
    assert frame["n"].isna().tolist() == [False, True]
    refused(signature, [{"n": 1.5}], "inputs[0].n")
