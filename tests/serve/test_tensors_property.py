"""Tensors of the Open Inference Protocol: what is written is read again, anything else is refused with its name."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from outcomes import refusal

from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.protocols import tensors
from autodeploy_magic.wire import from_arrays

NUMBERS = sorted(set(tensors.DATATYPES) - {"BYTES"})
QUICK = settings(deadline=None, max_examples=100)

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
arrays = st.sampled_from(NUMBERS).flatmap(lambda name: hnp.arrays(tensors.DATATYPES[name], shapes))
single = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
anything = st.recursive(
    single,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
sizes = st.integers(-3, 4) | st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64, 10**30, -(2**63)])


def refused_or(read: Callable[[], Any]) -> Any:
    """What is read; None where it is refused as a request is."""
    try:
        return read()
    except RequestRefused as error:
        refusal(error)
        return None


@given(arrays)
@QUICK
def test_binary_comes_back(values: np.ndarray[Any, Any]) -> None:
    datatype = tensors.datatype_of(str(values.dtype))
    found = tensors.from_binary("x", datatype, values.shape, memoryview(tensors.to_binary(values)))
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    np.testing.assert_array_equal(found, values)


@given(arrays, st.booleans())
@QUICK
def test_json_comes_back(values: np.ndarray[Any, Any], nested: bool) -> None:
    """Less the infinite, for which JSON has no word."""
    datatype = tensors.datatype_of(str(values.dtype))
    sent = msgspec.json.decode(msgspec.json.encode(tensors.to_json(values)))
    if nested and values.size:
        sent = np.array(sent, dtype=object).reshape(values.shape).tolist()
    found = tensors.from_json("x", datatype, values.shape, sent)
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, np.nan)
    np.testing.assert_array_equal(found, values)


@given(arrays, st.integers(0, 300), st.binary(min_size=1, max_size=9))
@QUICK
def test_bytes_that_are_cut_or_too_many(values: np.ndarray[Any, Any], cut: int, rest: bytes) -> None:
    datatype = tensors.datatype_of(str(values.dtype))
    data = tensors.to_binary(values)
    for wrong in (data[:cut] if cut < len(data) else data + rest, data + rest):
        with pytest.raises(RequestRefused) as caught:
            tensors.from_binary("x", datatype, values.shape, memoryview(wrong))
        assert refusal(caught.value) == ("InvalidInputs", "x")


@given(st.lists(st.text(max_size=20) | st.none(), max_size=6), st.binary(min_size=1, max_size=5), st.integers(0, 60))
@QUICK
def test_texts(texts: list[str | None], rest: bytes, cut: int) -> None:
    data = tensors.to_binary(np.array([*texts, None], dtype=object)[:-1])
    found = tensors.from_binary("x", "BYTES", [len(texts)], memoryview(data))
    assert [value.decode() for value in found.tolist()] == [text or "" for text in texts]
    for wrong in (data + rest, data[:cut] if cut < len(data) else rest, b"\xff\xff\xff\xff" + data):
        with pytest.raises(RequestRefused) as caught:
            tensors.from_binary("x", "BYTES", [len(texts)], memoryview(wrong))
        assert refusal(caught.value) == ("InvalidInputs", "x")


def test_more_texts_than_the_shape_holds_are_not_kept() -> None:
    with pytest.raises(RequestRefused):
        tensors.from_binary("x", "BYTES", [1], memoryview(b"\0" * 4 * 1_000_000))


@given(st.sampled_from([*tensors.DATATYPES, "FP13", "", "int32"]), st.lists(sizes, max_size=5), anything)
@QUICK
def test_any_json(datatype: str, shape: list[int], data: Any) -> None:
    found = refused_or(lambda: tensors.from_json("x", datatype, shape, data))
    assert found is None or list(found.shape) == shape


@given(st.sampled_from([*tensors.DATATYPES, "FP13"]), st.lists(sizes, max_size=5), st.binary(max_size=64))
@QUICK
def test_any_bytes(datatype: str, shape: list[int], data: bytes) -> None:
    found = refused_or(lambda: tensors.from_binary("x", datatype, shape, memoryview(data)))
    assert found is None or list(found.shape) == shape


@given(st.sampled_from(NUMBERS), single)
@QUICK
def test_a_number_is_itself_or_refused(datatype: str, value: Any) -> None:
    found = refused_or(lambda: tensors.from_json("x", datatype, [1], [value]))
    if found is None:
        return
    if value is None:
        assert math.isnan(found[0])
    elif datatype.startswith("FP"):
        with np.errstate(over="ignore"):
            assert found[0] == np.array(float(value)).astype(found.dtype)
    else:
        assert found[0].item() == value


@pytest.mark.parametrize(
    "shape", [[2] * 33, [2] * 65, [10**9] * 7, [0, 2**62, 2**62], [-1, -1], [], [1] * 100_000, [10**4000]]
)
@pytest.mark.parametrize("datatype", ["FP64", "BYTES"])
def test_shapes_that_no_array_has(datatype: str, shape: list[int]) -> None:
    for read in (
        lambda: tensors.from_json("x", datatype, shape, []),
        lambda: tensors.from_binary("x", datatype, shape, memoryview(b"")),
    ):
        with pytest.raises(RequestRefused) as caught:
            read()
        assert refusal(caught.value) == ("InvalidInputs", "x")


def test_the_other_byte_order_is_another_number() -> None:
    """Nothing says that bytes are the wrong way round; the protocol has them little-endian."""
    data = struct.pack(">2i", 1, 2)
    assert tensors.from_binary("x", "INT32", [2], memoryview(data)).tolist() == [1 << 24, 2 << 24]
    half = tensors.from_binary("x", "FP16", [1], memoryview(b"\x00\x3c"))
    assert half.tolist() == [1.0]


def test_any_byte_is_true_or_false() -> None:
    found = tensors.from_binary("x", "BOOL", [3], memoryview(b"\x00\x01\xff"))
    assert (found == np.array([False, True, True])).all()


def test_long_names_and_values_are_not_repeated() -> None:
    for shape, data in (([2], ["x" * 10_000]), ([1], [{"a" * 9999: 1}]), ([1], "y" * 10_000)):
        with pytest.raises(RequestRefused) as caught:
            tensors.from_json("n" * 10_000, "FP32", shape, data)
        refusal(caught.value)


columns = st.sampled_from(["float64", "float32", "int8", "uint64", "bool", "str", "object", "datetime64[ns]", "Int64"])


@given(columns, st.booleans(), st.lists(st.integers(1, 3), max_size=2), arrays)
@QUICK
def test_any_tensor_for_any_column(dtype: str, nullable: bool, shape: list[int], values: np.ndarray[Any, Any]) -> None:
    column = Column(name="x", dtype=dtype, nullable=nullable, shape=tuple(shape))
    signature = Signature(container="dict", columns=(column,))
    batch = refused_or(lambda: from_arrays(signature, {"x": values}, max_rows=3))
    if batch is None:
        return
    found = batch.columns["x"]
    assert found.shape == (batch.rows, *shape)
    assert found.flags.writeable
    if found.dtype.kind in "iufb":
        assert str(found.dtype) == dtype
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(found, values.reshape(found.shape).astype(dtype))
