"""Recorded rows read whole: in one form whichever way they were written, with labels, without what was hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import SIGNATURE, Record, recorded

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.reservoir import Label, add_labels
from autodeploy_magic.reservoir.rows import canonical, merged, recorded_rows, row_key
from autodeploy_magic.wire import decode


def array(dtype: str, shape: tuple[int, ...]) -> Signature:
    return Signature(container="ndarray", columns=(Column(name="inputs", dtype=dtype, shape=shape),))


@pytest.mark.parametrize(
    "inputs",
    [
        {"age": [1, 2.5], "city": ["x", "y"]},
        [{"city": "x", "age": 1.0}, {"age": 2.5, "city": "y"}],
        [[1.0, "x"], [2.5, "y"]],
    ],
)
def test_a_table_has_one_form(inputs: Any) -> None:
    rows = canonical(SIGNATURE, inputs)
    assert rows == [[1.0, "x"], [2.5, "y"]]
    assert row_key(rows[0]) == row_key([1.0, "x"]) != row_key(rows[1])
    assert merged(SIGNATURE, rows) == {"age": [1.0, 2.5], "city": ["x", "y"]}


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        (array("float32", (2,)), [[0.5, 1.0], [2.0, -1.5]]),
        (array("float64", (2, 2)), [[[0.5, 1.0], [1.0, 2.0]]]),
        (array("str", ()), ["good", "bad"]),
        (array("int64", (-1,)), [[1, 2], [3]]),
        (array("image", ()), ["aGk=", "aG8="]),
        (array("object", ()), [{"a": 1}, "b", [2]]),
    ],
)
def test_rows_of_every_kind_stay_whole(signature: Signature, inputs: Any) -> None:
    assert merged(signature, canonical(signature, inputs)) == inputs


@pytest.mark.parametrize(
    "inputs", [None, "text", 5, [], [1, 2], [{"age": 1.0}], {"age": [1.0]}, {"age": [1.0], "city": ["x", "y"]}]
)
def test_what_does_not_fit_is_refused(inputs: Any) -> None:
    with pytest.raises(InvalidInputs):
        canonical(SIGNATURE, inputs)


@given(
    st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)), min_size=1, max_size=5)
)
def test_the_form_stays_when_it_is_read_again(rows: list[tuple[float, str]]) -> None:
    found = canonical(SIGNATURE, [{"age": age, "city": city} for age, city in rows])
    again = merged(SIGNATURE, found)
    assert canonical(SIGNATURE, again) == found
    assert decode(SIGNATURE, again).rows == len(rows)


def test_rows_come_newest_first_with_their_labels(path: Path, record: Record) -> None:
    record([recorded("a", at_s=10.0), recorded("b", at_s=20.0, rows=100, kept=(3, 50)), recorded("c", at_s=99.0)])
    add_labels(path, [Label("a", 1, "no"), Label("b", 50, 7), Label("b", 4, "unkept")], 30.0)
    found = recorded_rows(path, SIGNATURE, before_s=50.0)
    assert [(row.value, row.at_s) for row in found.rows] == [
        ([3.0, "c3"], 20.0),
        ([50.0, "c50"], 20.0),
        ([0.0, "c0"], 10.0),
        ([1.0, "c1"], 10.0),
    ]
    assert [row.label for row in found.rows] == [None, 7, None, "no"]
    assert (found.requests, found.first_s, found.last_s, dict(found.sizes)) == (2, 10.0, 20.0, {100: 1, 2: 1})


def test_what_cannot_be_asked_again_is_counted(path: Path, record: Record) -> None:
    record(
        [
            recorded("whole"),
            recorded("unkept", inputs=None),
            recorded("dropped", inputs={"age": [1.0, 2.0]}),
            recorded("hashed", inputs={"age": [1.0, 2.0], "city": ["hmac:0123456789abcdef"] * 2}),
            recorded("others", version=7),
            recorded("unlike", inputs={"age": ["x", "y"], "city": ["a", "b"]}),
            recorded("failed", status=500, outputs={}),
        ]
    )
    found = recorded_rows(path, SIGNATURE, before_s=1e10, unlike=[7])
    assert [row.value for row in found.rows] == [[0.0, "c0"], [1.0, "c1"]]
    assert (found.requests, found.unkept, found.hidden, found.other) == (6, 1, 2, 2)
    assert found.hidden_names == {"city"}


def test_no_more_are_read_than_asked_for(path: Path, record: Record) -> None:
    assert recorded_rows(path, SIGNATURE, before_s=1e10).rows == []
    record([recorded(f"r{i}", at_s=float(i)) for i in range(50)])
    assert len(recorded_rows(path, SIGNATURE, before_s=1e10, most=10).rows) == 10
    assert len(recorded_rows(path, SIGNATURE, before_s=1e10, most_bytes=100).rows) < 10
