"""The protocol's methods, called by clients that are not ours."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import numpy as np
import pytest
from grpcport import BEARER, INFER, WAIT_S, Gate, Port, Raw, framed, request
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, service_pb2
from tritonclient.grpc.aio import InferenceServerClient as AsyncClient
from tritonclient.utils import InferenceServerException
from versions import X, write_version

from autodeploy_magic.contracts import Column, Signature, Version, decode, encode
from autodeploy_magic.errors import (
    BodyTooLarge,
    InvalidInputs,
    ModelFailed,
    NotFound,
    Overloaded,
    RequestRefused,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from autodeploy_magic.serve.grpc.status import Status, status_of, trailers
from autodeploy_magic.serve.http.app import App
from autodeploy_magic.serve.protocols.tensors import DATATYPES

HEADERS = dict(BEARER)


@pytest.fixture
def triton() -> Iterator[Callable[[Port], InferenceServerClient]]:
    clients: list[InferenceServerClient] = []

    def connect(port: Port) -> InferenceServerClient:
        clients.append(InferenceServerClient(port.address))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def rows(array: Any, name: str = "inputs", datatype: str = "FP64") -> list[InferInput]:
    return [InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)]


def over_http(port: Port, path: str, body: Any = None) -> Any:
    """What the same worker answers over HTTP."""

    async def ask() -> Any:
        transport = httpx.ASGITransport(App(port.front))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=HEADERS) as client:
            answer = await client.request("GET" if body is None else "POST", path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

    return port.on_loop(ask)


def call(port: Port, message: Any, metadata: Any = BEARER, path: str = INFER, **options: Any) -> Any:
    """One call through grpcio itself."""
    with grpc.insecure_channel(port.address) as channel:
        body = message if isinstance(message, bytes) else message.SerializeToString()
        answer = channel.unary_unary(path)(body, metadata=metadata, timeout=WAIT_S, **options)
        return service_pb2.ModelInferResponse.FromString(answer)


def refused(port: Port, message: Any, **options: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(port, message, **options)
    return caught.value.code(), caught.value.details()


# --- what is answered ---


def test_an_inference_answers_what_http_answers(iris: Port, triton: Any) -> None:
    answer = triton(iris).infer("iris", rows(X[:3]), headers=HEADERS, request_id="mine")
    tensor = {"name": "inputs", "shape": [3, 4], "datatype": "FP64", "data": X[:3].tolist()}
    expected = over_http(iris, "/v2/models/iris/infer", {"id": "mine", "inputs": [tensor]})
    found = answer.get_response()
    assert (found.model_name, found.model_version, found.id) == ("iris", "1", "mine")
    assert {k: expected[k] for k in ("model_name", "model_version", "id")} == {
        "model_name": "iris",
        "model_version": "1",
        "id": "mine",
    }
    for ours, theirs in zip(found.outputs, expected["outputs"], strict=True):
        assert (ours.name, ours.datatype, list(ours.shape)) == (theirs["name"], theirs["datatype"], theirs["shape"])
        values = answer.as_numpy(ours.name).reshape(-1).tolist()
        assert [v.decode() if isinstance(v, bytes) else v for v in values] == theirs["data"]
    assert [(version, status, rows) for version, status, rows, _ in iris.observed] == [(1, 200, 3)] * 2
    assert all(bytes_in > 0 for *_, bytes_in in iris.observed)


def test_what_it_says_of_the_model_is_what_http_says(iris: Port, triton: Any) -> None:
    client = triton(iris)
    metadata = client.get_model_metadata("iris", headers=HEADERS, as_json=True)
    for tensor in (*metadata["inputs"], *metadata["outputs"]):
        tensor["shape"] = [int(size) for size in tensor["shape"]]  # protobuf's JSON has 64 bits as text
    assert metadata == over_http(iris, "/v2/models/iris")
    config = client.get_model_config("iris", headers=HEADERS).config
    expected = over_http(iris, "/v2/models/iris/config")
    assert [(t.name, f"TYPE_{t.data_type}", list(t.dims)) for t in config.input] == [("inputs", "TYPE_12", [4])]
    assert [list(t.dims) for t in config.output] == [t["dims"] for t in expected["output"]]
    assert config.max_batch_size == expected["max_batch_size"]
    assert client.get_server_metadata(headers=HEADERS).name == over_http(iris, "/v2")["name"]
    index = client.get_model_repository_index(headers=HEADERS).models
    assert [(m.name, m.version, m.state) for m in index] == [("iris", "1", "READY")]
    assert client.get_inference_statistics("iris", headers=HEADERS).model_stats[0].name == "iris"
    assert client.get_inference_statistics(headers=HEADERS).model_stats[0].version == "1"


def test_health_needs_no_token_and_the_rest_does(iris: Port, triton: Any) -> None:
    client = triton(iris)
    assert client.is_server_live()
    assert client.is_server_ready()
    with pytest.raises(InferenceServerException, match="UNAUTHENTICATED"):
        client.is_model_ready("iris")
    with pytest.raises(InferenceServerException, match="UNAUTHENTICATED"):
        client.get_server_metadata()
    assert client.is_model_ready("iris", headers=HEADERS)
    assert client.is_model_ready("iris", "1", headers=HEADERS)
    assert not client.is_model_ready("iris", "2", headers=HEADERS)
    assert not client.is_model_ready("other", headers=HEADERS)
    iris.on_loop(lambda: setattr(iris.front, "draining", True))
    assert client.is_server_live()
    assert not client.is_server_ready()
    assert not client.is_model_ready("iris", headers=HEADERS)


def test_the_outputs_that_are_asked_for_are_answered(iris: Port, triton: Any) -> None:
    client = triton(iris)
    wanted = [InferRequestedOutput("probabilities")]
    answer = client.infer("iris", rows(X[:2]), outputs=wanted, headers=HEADERS)
    assert [output.name for output in answer.get_response().outputs] == ["probabilities"]
    assert answer.as_numpy("probabilities").shape == (2, 3)
    with pytest.raises(InferenceServerException, match="weights"):
        client.infer("iris", rows(X[:2]), outputs=[InferRequestedOutput("weights")], headers=HEADERS)


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name not in ("BYTES", "BOOL")])
def test_numbers_of_every_datatype_are_read(iris: Port, triton: Any, datatype: str) -> None:
    array = np.array([[5, 3, 1, 0], [6, 3, 5, 2]], DATATYPES[datatype])
    answer = triton(iris).infer("iris", rows(array, datatype=datatype), headers=HEADERS)
    assert answer.as_numpy("predictions").tolist() == [b"setosa", b"virginica"]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_answers_of_every_datatype_are_written(
    serve: Any, triton: Any, tmp_path: Path, classifier: Any, datatype: str
) -> None:
    dtype = "str" if datatype == "BYTES" else DATATYPES[datatype]
    code = {"predict": lambda model, x: (x[:, :2] > 3).astype(dtype)}
    write_version(tmp_path / "version", classifier, X, format="native", code=code)
    answer = triton(serve(tmp_path / "version")).infer("iris", rows(X[:2]), headers=HEADERS)
    expected = (X[:2, :2] > 3).astype(dtype)
    found = answer.as_numpy("predictions")
    assert answer.get_output("predictions").datatype == datatype
    if datatype == "BYTES":
        assert found.tolist() == [[text.encode() for text in row] for row in expected.tolist()]
    else:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("dtype", "datatype", "array"),
    [("str", "BYTES", np.array([["a", "ü"], ["", "c"]], object)), ("bool", "BOOL", np.array([[True, False]]))],
    ids=["text", "truth"],
)
def test_texts_and_truths_reach_the_model(
    serve: Any, triton: Any, tmp_path: Path, classifier: Any, dtype: str, datatype: str, array: Any
) -> None:
    folder = tmp_path / "version"
    write_version(folder, classifier, X, format="native", code={"predict": lambda model, x: x})
    file = folder / "version.json"
    column = Column(name="inputs", dtype=dtype, shape=(2,))
    version = decode(Version, file.read_bytes())
    file.write_bytes(
        encode(msgspec.structs.replace(version, signature=Signature(container="ndarray", columns=(column,))))
    )
    answer = triton(serve(folder)).infer("iris", rows(array, datatype=datatype), headers=HEADERS)
    found = answer.as_numpy("predictions").tolist()
    assert [[v.decode() if isinstance(v, bytes) else v for v in row] for row in found] == array.tolist()


def test_contents_are_read_and_answered_if_that_is_asked_for(iris: Port) -> None:
    message = service_pb2.ModelInferRequest(model_name="iris")
    tensor = message.inputs.add(name="inputs", datatype="FP64", shape=[2, 4])
    tensor.contents.fp64_contents.extend(X[:2].reshape(-1))
    assert len(call(iris, message).raw_output_contents) == 2  # raw by default, as Triton answers
    message.parameters["binary_data_output"].bool_param = False
    answer = call(iris, message)
    assert not answer.raw_output_contents
    assert answer.outputs[0].contents.bytes_contents == [b"setosa", b"setosa"]
    assert len(answer.outputs[1].contents.fp64_contents) == 6


def test_a_request_without_an_id_gets_one(iris: Port) -> None:
    first, second = call(iris, request()), call(iris, request())
    assert len({"", first.id, second.id}) == 3


def test_a_version_that_is_named_answers(serve: Any, triton: Any, tmp_path: Path, classifier: Any) -> None:
    for number in (1, 2):
        write_version(tmp_path / str(number), classifier, X, number=number)
    client = triton(serve(tmp_path / "1", tmp_path / "2"))
    answers = [
        client.infer("iris", rows(X[:1]), model_version=version, headers=HEADERS).get_response().model_version
        for version in ("", "1", "2")
    ]
    assert answers == ["1", "1", "2"]
    assert client.get_model_metadata("iris", "2", headers=HEADERS).name == "iris"
    for version in ("3", "two", "-1"):
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            client.infer("iris", rows(X[:1]), model_version=version, headers=HEADERS)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_a_compressed_request_is_read(iris: Port, triton: Any, algorithm: str) -> None:
    answer = triton(iris).infer("iris", rows(X), headers=HEADERS, compression_algorithm=algorithm)
    assert answer.as_numpy("predictions").shape == (150,)


def test_an_asyncio_client_asks_many_at_once(iris: Port) -> None:
    async def ask() -> list[Any]:
        async with AsyncClient(iris.address) as client:
            asked = [client.infer("iris", rows(X[i : i + 1]), headers=HEADERS) for i in range(150)]
            return [answer.as_numpy("predictions")[0] for answer in await asyncio.gather(*asked)]

    expected = over_http(iris, "/predict", {"inputs": X.tolist()})["predictions"]
    assert [text.decode() for text in asyncio.run(ask())] == expected


def test_a_large_answer_is_whole(serve: Any, triton: Any, tmp_path: Path, classifier: Any) -> None:
    code = {"predict": lambda model, x: x.repeat(20_000, axis=1)}
    write_version(tmp_path / "version", classifier, X, format="native", code=code)
    answer = triton(serve(tmp_path / "version")).infer("iris", rows(X[:9]), headers=HEADERS).as_numpy("predictions")
    np.testing.assert_array_equal(answer, X[:9].repeat(20_000, axis=1))  # 5.8 MB, in windows of 64 KiB


# --- streams ---


def test_a_stream_is_answered_in_order_and_survives_what_it_refuses(iris: Port, triton: Any) -> None:
    answers: list[tuple[Any, Any]] = []
    client = triton(iris)
    client.start_stream(lambda result, error: answers.append((result, error)), headers=HEADERS)
    for i in range(20):
        client.async_stream_infer("iris" if i != 7 else "other", rows(X[i : i + 1]), request_id=str(i))
    client.stop_stream()
    assert len(answers) == 20
    for i, (result, error) in enumerate(answers):
        if i == 7:
            assert "there is no model 'other'" in str(error)
        else:
            assert result.get_response().id == str(i)


def test_a_stream_says_which_answer_is_the_last_if_it_is_asked(iris: Port) -> None:
    message = request(id="a")
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    with grpc.insecure_channel(iris.address) as channel:
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        answers = stream(iter([message.SerializeToString()]), metadata=BEARER, timeout=WAIT_S)
        (answer,) = [service_pb2.ModelStreamInferResponse.FromString(body) for body in answers]
    assert answer.infer_response.parameters["triton_final_response"].bool_param


# --- what is refused ---


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthorized("x"), Status.UNAUTHENTICATED),
        (NotFound("x"), Status.NOT_FOUND),
        (InvalidInputs("x"), Status.INVALID_ARGUMENT),
        (BodyTooLarge("x"), Status.RESOURCE_EXHAUSTED),
        (Overloaded("x"), Status.UNAVAILABLE),
        (TimedOut("x"), Status.DEADLINE_EXCEEDED),
        (Unavailable("x"), Status.UNAVAILABLE),
        (ModelFailed("x"), Status.INTERNAL),
        (RequestRefused("x"), Status.INVALID_ARGUMENT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_each_refusal_has_its_status(error: RequestRefused, status: Status) -> None:
    assert status_of(error) == status


def test_a_refusal_that_is_not_known_has_the_status_of_what_it_is_a_kind_of() -> None:
    assert status_of(type("Newer", (NotFound,), {})("x")) == Status.NOT_FOUND
    gc.collect()  # no other test is to find that class in the tree of errors


def test_a_status_message_is_short_and_ascii() -> None:
    (_, message) = trailers(Status.INTERNAL, "ü%\n" * 10_000)[1]
    assert message.startswith(b"%C3%BC%25%0A%C3")
    assert message.isascii()
    assert len(message) < 5_000


def test_a_wrong_token_is_told(iris: Port) -> None:
    for metadata in ((), (("authorization", "Bearer other"),), (*BEARER, ("authorization", "Bearer other"))):
        code, details = refused(iris, request(), metadata=metadata)
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert "token" in details
    assert iris.observed == []


@pytest.mark.parametrize(
    ("message", "code", "problem"),
    [
        (request(X[:1, :3]), "INVALID_ARGUMENT", "shape"),
        (request(np.full((1, 4), np.nan)), "INVALID_ARGUMENT", "inputs[0][0]"),
        (request(np.zeros((0, 4))), "INVALID_ARGUMENT", "at least one row"),
        (request(np.zeros((10_001, 4))), "RESOURCE_EXHAUSTED", "10001 rows"),
        (service_pb2.ModelInferRequest(model_name="iris"), "INVALID_ARGUMENT", "missing"),
        (service_pb2.ModelInferRequest(model_name="größer"), "NOT_FOUND", "größer"),
        (b"\x0a\xff", "INVALID_ARGUMENT", "not a inference.ModelInferRequest"),
        (b"\x0a\x01\xff", "INVALID_ARGUMENT", "not a inference.ModelInferRequest"),
    ],
    ids=["shape", "nan", "no-rows", "many-rows", "no-inputs", "other-model", "cut", "not-utf8"],
)
def test_what_does_not_fit_is_told(iris: Port, message: Any, code: str, problem: str) -> None:
    found, details = refused(iris, message)
    assert found.name == code
    assert problem in details


def test_a_model_that_fails_says_nothing_of_its_inside(
    serve: Any, tmp_path: Path, classifier: Any, caplog: pytest.LogCaptureFixture
) -> None:
    code = {"predict": lambda model, x: model.predict(x) if len(x) > 1 else 1 / 0}
    write_version(tmp_path / "version", classifier, X, format="native", code=code)
    port = serve(tmp_path / "version")
    with caplog.at_level(logging.CRITICAL):
        found, details = refused(port, request(X[:1]))
    assert found is grpc.StatusCode.INTERNAL
    assert "zero" not in details.lower()
    assert [status for _, status, *_ in port.observed] == [500]


def test_a_refusal_names_the_request(iris: Port) -> None:
    with grpc.insecure_channel(iris.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(INFER)(request(X[:1, :2]).SerializeToString(), metadata=BEARER, timeout=WAIT_S)
    assert dict(caught.value.trailing_metadata())["x-request-id"]


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/TraceSetting", "/other.Service/Method", "/"])
def test_a_method_that_is_not_there_is_told(iris: Port, path: str) -> None:
    assert refused(iris, b"", path=path)[0] is grpc.StatusCode.UNIMPLEMENTED
    assert refused(iris, b"", path=path, metadata=())[0] is grpc.StatusCode.UNAUTHENTICATED


def test_a_full_queue_is_told_as_what_clients_retry(
    serve: Any, waiting: Port, gate: Gate, raw: Callable[..., Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = raw(waiting)
    body = framed(request().SerializeToString())
    first = client.begin()
    client.data(first, body, end=True)
    gate.entered()
    limit = waiting.roads[0].lane._max_queue
    streams = [client.begin() for _ in range(90)]
    waiting.on_loop(lambda: setattr(waiting.roads[0].lane, "_max_queue", 80))
    for stream in streams:
        client.data(stream, body, end=True)
    headers, _ = client.answer(streams[-1])
    assert limit > 90
    assert headers["grpc-status"] == str(int(Status.UNAVAILABLE))
    assert int(headers["grpc-retry-pushback-ms"]) > 0
    gate.open()
    assert client.answer(first)[0]["grpc-status"] == "0"


def test_the_time_that_a_client_gives_is_kept(waiting: Port, gate: Gate, raw: Callable[..., Raw]) -> None:
    client = raw(waiting)
    body = framed(request().SerializeToString())
    running = client.begin()
    client.data(running, body, end=True)
    gate.entered()
    late = client.begin(grpc_timeout="50m")
    client.data(late, body, end=True)
    assert client.answer(late)[0]["grpc-status"] == str(int(Status.DEADLINE_EXCEEDED))
    waiting.until(lambda: waiting.roads[0].lane.queued == 0)  # its place is free again
    with pytest.raises(grpc.RpcError) as caught, grpc.insecure_channel(waiting.address) as channel:
        channel.unary_unary(INFER)(request().SerializeToString(), metadata=BEARER, timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    gate.open()
    assert client.answer(running)[0]["grpc-status"] == "0"


def test_a_client_that_goes_frees_its_place(waiting: Port, gate: Gate, raw: Callable[..., Raw]) -> None:
    client = raw(waiting)
    running = client.begin()
    client.data(running, framed(request().SerializeToString()), end=True)
    gate.entered()
    lane = waiting.roads[0].lane
    with grpc.insecure_channel(waiting.address) as channel:
        future = channel.unary_unary(INFER).future(request().SerializeToString(), metadata=BEARER)
        waiting.until(lambda: lane.queued == 1)
        future.cancel()
        waiting.until(lambda: lane.queued == 0)
        future = channel.unary_unary(INFER).future(request().SerializeToString(), metadata=BEARER)
        waiting.until(lambda: lane.queued == 1)
    waiting.until(lambda: lane.queued == 0)  # the whole connection is gone
    waiting.until(lambda: [status for _, status, *_ in waiting.observed] == [499, 499])
    gate.open()
    assert client.answer(running)[0]["grpc-status"] == "0"


# --- gRPC's own services ---


def test_grpcs_own_health_is_answered(iris: Port, raw: Callable[..., Raw]) -> None:
    """Its messages are short enough to write by hand."""
    client = raw(iris)

    def check(service: bytes) -> tuple[str, bytes]:
        stream = client.begin("/grpc.health.v1.Health/Check", authorization="")
        body = b"\x0a" + bytes([len(service)]) + service if service else b""
        client.data(stream, framed(body), end=True)
        headers, answer = client.answer(stream)
        return headers["grpc-status"], answer[5:]

    assert check(b"") == ("0", b"\x08\x01")
    assert check(b"inference.GRPCInferenceService") == ("0", b"\x08\x01")
    assert check(b"other") == (str(int(Status.NOT_FOUND)), b"")
    iris.on_loop(lambda: setattr(iris.front, "draining", True))
    assert check(b"") == ("0", b"\x08\x02")


def test_reflection_tells_what_there_is(iris: Port) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from autodeploy_magic.serve.grpc.messages import message

    Asked, Answered = (message(f"grpc.reflection.v1.ServerReflection{kind}") for kind in ("Request", "Response"))
    asked = [
        Asked(list_services=""),
        Asked(file_containing_symbol="inference.GRPCInferenceService"),
        Asked(file_containing_symbol="inference.ModelInferRequest.InferInputTensor"),
        Asked(file_by_filename="health.proto"),
        Asked(file_by_filename="other.proto"),
    ]
    for version in ("v1", "v1alpha"):
        with grpc.insecure_channel(iris.address) as channel:
            stream = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
            bodies = stream(iter([each.SerializeToString() for each in asked]), metadata=BEARER, timeout=WAIT_S)
            listed, service, nested, health, none = [Answered.FromString(body) for body in bodies]
        names = [each.name for each in listed.list_services_response.service]
        assert names == ["grpc.health.v1.Health", "inference.GRPCInferenceService"]
        (file,) = service.file_descriptor_response.file_descriptor_proto
        assert FileDescriptorProto.FromString(file).package == "inference"
        assert nested.file_descriptor_response == service.file_descriptor_response
        (file,) = health.file_descriptor_response.file_descriptor_proto
        assert FileDescriptorProto.FromString(file).service[0].name == "Health"
        assert none.error_response.error_code == Status.NOT_FOUND
