"""The Open Inference Protocol v2 under `/v2`: health, metadata, configuration, inference in JSON and binary.

Source: kserve/open-inference-protocol, and Triton's extension_binary_data.md and extension_model_configuration.md. What
concerns all versions of a model is in `v2_repository`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from numpy.typing import NDArray

from autodeploy_magic.errors import InvalidInputs, RequestRefused
from autodeploy_magic.serve.protocols import JSON, Answer, Inference, Request, Route, model_card, v2_operations
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import in_one_line
from autodeploy_magic.serve.protocols.tensors import as_array, datatype_of, from_binary, from_json, to_binary, to_json
from autodeploy_magic.serve.protocols.v2_infer_operation import BINARY, LENGTH, infer
from autodeploy_magic.serve.road import Road
from autodeploy_magic.wire import from_arrays
from autodeploy_magic.wire.fields import short

__all__ = ["OpenInference"]

_MODEL = r"/v2/models/([^/]+)(?:/versions/([^/]+))?"
_LENGTH = LENGTH.lower().encode()
_FIX = 'see the Open Inference Protocol v2: {"inputs": [{"name", "shape", "datatype", "data"}]}'

_encode = msgspec.json.Encoder().encode


class Parameters(msgspec.Struct):
    """Parameters of a tensor or of a request; those that are not known here are ignored, as the protocol says.

    `classification` and `shared_memory_region` belong to extensions that are not here: without a word the client would
    take the answer for something else.
    """

    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False
    classification: Any = None
    shared_memory_region: Any = None


class InputTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = msgspec.field(default_factory=Parameters)
    data: Any = None


class OutputTensor(msgspec.Struct):
    name: str
    parameters: Parameters = msgspec.field(default_factory=Parameters)


class InferenceBody(msgspec.Struct):
    inputs: list[InputTensor]
    id: str = ""
    parameters: Parameters = msgspec.field(default_factory=Parameters)
    outputs: list[OutputTensor] = []


class OpenInference:
    """A deployment as one model, named like it; its versions are the deployment's."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._version = road.version
        self._decoder = msgspec.json.Decoder(InferenceBody)

    def routes(self) -> Sequence[Route]:
        about = v2_operations
        return [
            Route("GET", "/v2", self._server, operation=about.server),
            Route("GET", "/v2/", self._server),
            Route("GET", "/v2/health/live", self._live, open=True, operation=about.live),
            Route("GET", "/v2/health/ready", self._ready, open=True, operation=about.ready),
            Route("GET", _MODEL, self._metadata, version_at=1, operation=about.metadata),
            Route("GET", f"{_MODEL}/ready", self._model_ready, version_at=1, operation=about.model_ready),
            Route("GET", f"{_MODEL}/config", self._config, version_at=1, operation=about.config),
            Route(
                "POST",
                f"{_MODEL}/infer",
                self._infer,
                frozenset({JSON, BINARY, ""}),  # Triton's own client sends no content type
                recorded=True,
                version_at=1,
                operation=partial(infer, self._road, self._sample_answer),
            ),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_one_line(error, request_id)

    def _server(self, _: Request) -> Answer:
        return Answer(_encode(model_card.server(self._road)))

    def _live(self, _: Request) -> Answer:
        return Answer(b'{"live":true}')

    def _ready(self, _: Request) -> Answer:
        return Answer(b'{"ready":false}', 503) if self._road.draining else Answer(b'{"ready":true}')

    def _model_ready(self, request: Request) -> Answer:
        self._check_model(request)
        body = {"name": self._version.deployment, "ready": not self._road.draining}
        return Answer(_encode(body), 503 if self._road.draining else 200)

    async def _metadata(self, request: Request) -> Answer:
        return await self._tell(request, model_card.metadata)

    async def _config(self, request: Request) -> Answer:
        return await self._tell(request, model_card.config)

    async def _tell(self, request: Request, what: Callable[[Road, model_card.Known], Any]) -> Answer:
        self._check_model(request)
        return Answer(_encode(what(self._road, await model_card.known(self._road))))

    def _infer(self, request: Request) -> Inference:
        self._check_model(request)
        header, binary = _split(request)
        body = parse(self._decoder, header, _FIX)
        served = self._road.served
        arrays = _read(body.inputs, binary)
        batch = from_arrays(self._version.signature, arrays, max_rows=served.max_rows)
        as_binary = self._wanted(body)
        return Inference(batch, list(as_binary), partial(self._answer, body.id or request.id, as_binary))

    def _wanted(self, body: InferenceBody) -> dict[str, bool]:
        """The outputs that a request asks for, all where it names none; and whether each is to come as binary."""
        by_default = body.parameters.binary_data_output
        if not body.outputs:
            return dict.fromkeys([output.name for output in self._version.outputs], by_default)
        found: dict[str, bool] = {}
        for i, output in enumerate(body.outputs):
            given = output.parameters
            if given.classification is not None:
                raise InvalidInputs(
                    f"outputs[{i}] asks for a classification, an extension that this server does not have",
                    fix="leave the parameter out: predictions are the labels, probabilities are those of each class",
                    field=f"outputs[{i}].parameters.classification",
                )
            _refuse_shared_memory(given, f"outputs[{i}]")
            found[output.name] = by_default if given.binary_data is None else given.binary_data
        self._road.served.output_names(list(found))
        return found

    def _answer(self, request_id: str, binary: Mapping[str, bool], answers: dict[str, Any]) -> Answer:
        outputs: list[dict[str, Any]] = []
        parts: list[bytes] = []
        for name, value in answers.items():
            array = as_array(value)
            tensor: dict[str, Any] = {
                "name": name,
                "shape": list(array.shape),
                "datatype": datatype_of(str(array.dtype)),
            }
            if binary[name]:
                parts.append(to_binary(array))
                tensor["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                tensor["data"] = to_json(array)
            outputs.append(tensor)
        header = _encode(
            {
                "model_name": self._version.deployment,
                "model_version": str(self._version.number),
                "id": request_id,
                "outputs": outputs,
            }
        )
        if not parts:
            return Answer(header)
        return Answer(
            b"".join([header, *parts]), content_type=BINARY, headers=[(_LENGTH, str(len(header)).encode("ascii"))]
        )

    def _sample_answer(self, outputs: dict[str, Any]) -> Any:
        """What the answer is where the model gives these outputs, for `/docs.json`."""
        return msgspec.json.decode(self._answer("the-request's-own", dict.fromkeys(outputs, False), outputs).body)

    def _check_model(self, request: Request) -> None:
        name, version = request.params
        model_card.check_model(self._road, str(name), version)


def _split(request: Request) -> tuple[bytes | bytearray, memoryview]:
    """The JSON part of a body and the binary tensors after it."""
    given = request.headers.get(_LENGTH)
    if given is None:
        return request.body, memoryview(b"")
    # Python refuses to read a number of thousands of digits.
    if not given.isdigit() or len(given) > 18 or int(given) > len(request.body):
        raise InvalidInputs(
            f"{LENGTH} does not fit the body", fix="send the number of bytes of the JSON part", field=LENGTH
        )
    size = int(given)
    return request.body[:size], memoryview(request.body)[size:]


def _read(tensors: Sequence[InputTensor], binary: memoryview) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    offset = 0
    for i, tensor in enumerate(tensors):
        name = short(tensor.name)
        if tensor.name in arrays:
            raise InvalidInputs(f"{name} stands twice", fix="send each input once", field=name)
        _refuse_shared_memory(tensor.parameters, f"inputs[{i}]")
        size = tensor.parameters.binary_data_size
        if size is None:
            arrays[tensor.name] = from_json(tensor.name, tensor.datatype, tensor.shape, tensor.data)
            continue
        if size < 0 or offset + size > len(binary):
            raise InvalidInputs(
                f"{name} has a binary_data_size of {short(str(size))}, and {len(binary) - offset} bytes are left",
                fix="send the bytes of all binary inputs after the JSON part, in the order of the inputs",
                field=name,
            )
        arrays[tensor.name] = from_binary(tensor.name, tensor.datatype, tensor.shape, binary[offset : offset + size])
        offset += size
    if offset != len(binary):
        raise InvalidInputs(
            f"{len(binary) - offset} bytes after the last binary input belong to none",
            fix="let the binary_data_size of the inputs add up to the bytes after the JSON part",
            field="body",
        )
    return arrays


def _refuse_shared_memory(parameters: Parameters, where: str) -> None:
    if parameters.shared_memory_region is not None:
        raise InvalidInputs(
            f"{where} is in shared memory, an extension that this server does not have",
            fix="send the data in the request",
            field=f"{where}.parameters.shared_memory_region",
        )
