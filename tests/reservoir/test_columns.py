"""Inputs in every form that a request may have, as the same values by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.reservoir import columns_of
from autodeploy_magic.wire import to_request

TABLE = Signature(container="dataframe", columns=(Column(name="age", dtype="float64"), Column(name="c", dtype="str")))
WANTED = {"age": [1.5, None], "c": ["x", None]}


@pytest.mark.parametrize(
    "inputs",
    [
        [{"age": 1.5, "c": "x"}, {"c": None, "age": None}],
        [[1.5, "x"], [None, None]],
        {"age": [1.5, None], "c": ["x", None]},
        to_request(pd.DataFrame({"age": [1.5, np.nan], "c": ["x", None]})),
        to_request(pd.DataFrame({"age": [1.5, np.inf], "c": ["x", None]})),
    ],
)
def test_a_table_has_its_columns(inputs: Any) -> None:
    assert columns_of(TABLE, inputs) == WANTED


def test_named_arrays_have_their_scalars() -> None:
    signature = Signature(
        container="dict", columns=(Column(name="a", dtype="int64"), Column(name="b", dtype="float32", shape=(2,)))
    )
    inputs = to_request({"a": np.array([1, 2]), "b": np.zeros((2, 2), "float32")})
    assert columns_of(signature, inputs) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("column", "rows", "wanted"),
    [
        (
            Column(name="inputs", dtype="float64", shape=(2,)),
            [[1.0, 2.0], [3.0, None]],
            {"0": [1.0, 3.0], "1": [2.0, None]},
        ),
        (Column(name="inputs", dtype="float64"), [1.0, 2.0], {"0": [1.0, 2.0]}),
        (Column(name="inputs", dtype="str"), ["good", "bad"], {"text": ["good", "bad"]}),
        (Column(name="inputs", dtype="image", shape=()), ["aGk="], {}),
        (Column(name="inputs", dtype="float64", shape=(2, 2)), [[[1.0, 2.0], [3.0, 4.0]]], {}),
        (Column(name="inputs", dtype="int64", shape=(-1,)), [[1, 2], [3]], {}),
        (Column(name="inputs", dtype="object"), [{"a": 1}, {"a": 2}], {}),
        (Column(name="inputs", dtype="object"), ["a", 1], {"0": ["a", 1]}),
    ],
)
@pytest.mark.parametrize("container", ["ndarray", "list"])
def test_rows_have_a_column_for_each_scalar(container: Any, column: Column, rows: Any, wanted: Any) -> None:
    assert columns_of(Signature(container=container, columns=(column,)), rows) == wanted


@pytest.mark.parametrize("inputs", [None, "text", 5, [1, 2], [{"age": 1.0}, [2]], [[1.0, "x"], [1.0]]])
def test_what_another_version_was_sent_has_none(inputs: Any) -> None:
    assert columns_of(TABLE, inputs) == {}
    array = Signature(container="ndarray", columns=(Column(name="inputs", dtype="float64", shape=(3,)),))
    assert columns_of(array, inputs) == {}
