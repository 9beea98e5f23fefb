"""Tensors in messages: raw and typed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.grpc import service_pb2

from autodeploy_magic.errors import InvalidInputs
from autodeploy_magic.serve.grpc.messages import message
from autodeploy_magic.serve.grpc.tensors import CONTENTS, read_inputs, write_outputs
from autodeploy_magic.serve.protocols.tensors import DATATYPES

Request = message("inference.ModelInferRequest")
Response = message("inference.ModelInferResponse")

NUMBERS = {name: np.dtype(dtype) for name, dtype in DATATYPES.items() if name != "BYTES"}
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)


def arrays(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return hnp.arrays(object, SHAPES, elements=st.text(st.characters(exclude_categories=["Cs"])))
    return hnp.arrays(NUMBERS[datatype], SHAPES)


def there_and_back(given: dict[str, Any], *, raw: bool) -> dict[str, Any]:
    """As one server would answer and another read: outputs become inputs, their bytes the same."""
    response = Response()
    write_outputs(response, given, raw=raw)
    request = Request(raw_input_contents=response.raw_output_contents)
    for tensor in response.outputs:
        request.inputs.add().ParseFromString(tensor.SerializeToString())
    return read_inputs(request)


@given(st.data())
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_any_array_comes_back_as_it_went(datatype: str, raw: bool, data: st.DataObject) -> None:
    if not raw and datatype not in CONTENTS:
        pytest.skip("FP16 has no contents")
    given = {name: data.draw(arrays(datatype)) for name in ("a", "b")}
    found = there_and_back(given, raw=raw)
    assert list(found) == ["a", "b"]
    for name, array in given.items():
        assert found[name].shape == array.shape
        if datatype == "BYTES":
            assert [text.decode() for text in found[name].reshape(-1)] == array.reshape(-1).tolist()
        else:
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


@example(datatype="FP32", shape=[2**62, 2**62, 0], body=b"")
@example(datatype="FP32", shape=[1] * 65, body=b"1234")
@given(
    datatype=st.sampled_from([*DATATYPES, "BF16", ""]),
    shape=st.lists(st.integers(-2, 5) | st.just(2**62), max_size=4),
    body=st.binary(max_size=64),
)
def test_bytes_that_are_no_tensor_are_refused_and_nothing_else(datatype: str, shape: list[int], body: bytes) -> None:
    request = Request(inputs=[{"name": "a", "datatype": datatype, "shape": shape}], raw_input_contents=[body])
    try:
        array = read_inputs(request)["a"]
    except InvalidInputs:
        return
    assert list(array.shape) == shape


def test_raw_tensors_are_those_of_the_client_library() -> None:
    from tritonclient.grpc import InferInput

    texts = np.array(["a", "ü", ""], dtype=object)
    tensor = InferInput("a", [3], "BYTES").set_data_from_numpy(texts)
    request = service_pb2.ModelInferRequest(inputs=[tensor._get_tensor()], raw_input_contents=[tensor._get_content()])
    found = read_inputs(Request.FromString(request.SerializeToString()))["a"]
    assert found.tolist() == [text.encode() for text in texts]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"inputs": [{"name": "a", "datatype": "FP64", "shape": [2]}], "raw_input_contents": [b"", b""]},
            "1 inputs and 2",
        ),
        ({"inputs": [{"name": "a", "datatype": "FP64", "shape": [2]}]}, r"has 0 fp64_contents and the shape \[2\]"),
        ({"inputs": [{"name": "a", "datatype": "FP16", "shape": [1]}]}, "FP16, which has no contents"),
        ({"inputs": [{"name": "a", "datatype": "FP99", "shape": [1]}]}, "datatype 'FP99'"),
        (
            {"inputs": [{"name": "a", "datatype": "INT8", "shape": [1], "contents": {"int_contents": [128]}}]},
            "no INT8",
        ),
        (
            {"inputs": [{"name": "a", "datatype": "INT8", "shape": [1], "contents": {"fp32_contents": [1]}}]},
            "has 0 int_contents",
        ),
        (
            {
                "inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [1]}}],
                "raw_input_contents": [b"12345678"],
            },
            "has contents, and the request raw_input_contents",
        ),
        (
            {
                "inputs": [
                    {"name": "a", "datatype": "BOOL", "shape": [0]},
                    {"name": "a", "datatype": "BOOL", "shape": [0]},
                ]
            },
            "stands twice",
        ),
        (
            {
                "inputs": [
                    {
                        "name": "a",
                        "datatype": "FP64",
                        "shape": [1],
                        "parameters": {"shared_memory_region": {"string_param": "x"}},
                    }
                ]
            },
            "shared memory",
        ),
    ],
)
def test_what_cannot_be_read_is_told(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInputs, match=problem):
        read_inputs(Request(**fields))


def test_an_answer_that_has_no_contents_is_told() -> None:
    with pytest.raises(InvalidInputs, match="FP16"):
        write_outputs(Response(), {"a": np.zeros(1, np.float16)}, raw=False)
