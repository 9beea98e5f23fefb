"""The Open Inference Protocol v2 under `/v2`: health, metadata, config, statistics, inference in JSON and binary.

Source: kserve/open-inference-protocol, and Triton's extensions for binary tensors, statistics and model configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Output
from autodeploy_magic.errors import InvalidInputs, NotFound, RequestRefused
from autodeploy_magic.serve.core import Core
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import in_one_line
from autodeploy_magic.serve.protocols.tensors import (
    datatype_of,
    from_binary,
    from_json,
    input_shape,
    output_shape,
    to_binary,
    to_json,
)
from autodeploy_magic.wire import from_arrays, to_plain

__all__ = ["OpenInference"]

BINARY = "application/octet-stream"
LENGTH = b"inference-header-content-length"
_MODEL = r"/v2/models/([^/]+)(?:/versions/([^/]+))?"
_FIX = 'see the Open Inference Protocol v2: {"inputs": [{"name", "shape", "datatype", "data"}]}'

_encode = msgspec.json.Encoder().encode


class Parameters(msgspec.Struct):
    """Parameters of a tensor or of a request; those that are not known here are ignored, as the protocol says."""

    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False


class InputTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = msgspec.field(default_factory=Parameters)
    data: Any = None


class OutputTensor(msgspec.Struct):
    name: str
    parameters: Parameters = msgspec.field(default_factory=Parameters)


class Inference(msgspec.Struct):
    inputs: list[InputTensor]
    id: str = ""
    parameters: Parameters = msgspec.field(default_factory=Parameters)
    outputs: list[OutputTensor] = []


class OpenInference:
    """A deployment as one model, named like it; its versions are the deployment's."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._version = core.served.version
        self._decoder = msgspec.json.Decoder(Inference)
        self._table = self._version.signature.container == "dataframe"

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/v2", self._server),
            Route("GET", "/v2/", self._server),
            Route("GET", "/v2/health/live", self._live, open=True),
            Route("GET", "/v2/health/ready", self._ready, open=True),
            Route("GET", _MODEL, self._metadata),
            Route("GET", f"{_MODEL}/ready", self._model_ready),
            Route("GET", f"{_MODEL}/config", self._config),
            # Triton's own client sends no content type.
            Route("POST", f"{_MODEL}/infer", self._infer, frozenset({JSON, BINARY, ""}), recorded=True),
            Route("POST", "/v2/repository/index", self._index, frozenset({JSON, "", BINARY})),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_one_line(error, request_id)

    async def _server(self, _: Request) -> Answer:
        extensions = ["binary_tensor_data", "model_configuration", "model_repository"]
        return Answer(_encode({"name": "autodeploy_magic", "version": "2", "extensions": extensions}))

    async def _live(self, _: Request) -> Answer:
        return Answer(b'{"live":true}')

    async def _ready(self, _: Request) -> Answer:
        return Answer(b'{"ready":false}', 503) if self._core.draining else Answer(b'{"ready":true}')

    async def _model_ready(self, request: Request) -> Answer:
        self._check_model(request)
        body = {"name": self._version.deployment, "ready": not self._core.draining}
        return Answer(_encode(body), 503 if self._core.draining else 200)

    async def _metadata(self, request: Request) -> Answer:
        self._check_model(request)
        return Answer(
            _encode(
                {
                    "name": self._version.deployment,
                    "versions": [str(self._version.number)],
                    "platform": "onnxruntime_onnx" if self._version.format.startswith("onnx") else "python",
                    **self._tensors(),
                }
            )
        )

    async def _config(self, request: Request) -> Answer:
        self._check_model(request)
        tensors = self._tensors()
        named = {
            side: [
                {"name": t["name"], "data_type": f"TYPE_{_config_type(t['datatype'])}", "dims": t["shape"][1:] or [1]}
                for t in tensors[f"{side}s"]
            ]
            for side in ("input", "output")
        }
        return Answer(
            _encode({"name": self._version.deployment, "max_batch_size": self._core.served.max_rows, **named})
        )

    async def _index(self, _: Request) -> Answer:
        state = "UNAVAILABLE" if self._core.draining else "READY"
        model = {"name": self._version.deployment, "version": str(self._version.number), "state": state, "reason": ""}
        return Answer(_encode([model]))

    async def _infer(self, request: Request) -> Answer:
        self._check_model(request)
        header, binary = _split(request)
        body = parse(self._decoder, header, _FIX)
        served = self._core.served
        arrays = _read(body.inputs, binary)
        batch = from_arrays(self._version.signature, arrays, max_rows=served.max_rows)
        request.rows = batch.rows
        wanted = {output.name: output.parameters.binary_data for output in body.outputs}
        names = list(wanted) or [o.name for o in self._version.outputs]
        served.output_names(names)
        answers = await self._core.run(batch, names)
        by_default = body.parameters.binary_data_output
        return self._answer(
            body.id or request.id, answers, {n: by_default if wanted.get(n) is None else bool(wanted[n]) for n in names}
        )

    def _answer(self, request_id: str, answers: dict[str, Any], binary: dict[str, bool]) -> Answer:
        outputs: list[dict[str, Any]] = []
        parts: list[bytes] = []
        for name, value in answers.items():
            array = _as_array(value)
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
        length = (b"inference-header-content-length", str(len(header)).encode())
        return Answer(b"".join([header, *parts]), content_type=BINARY, headers=[length])

    def _tensors(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "inputs": [
                {"name": c.name, "datatype": datatype_of(c.dtype), "shape": input_shape(c, table=self._table)}
                for c in self._version.signature.columns
            ],
            "outputs": [
                {"name": o.name, "datatype": _output_type(o), "shape": output_shape(o)} for o in self._version.outputs
            ],
        }

    def _check_model(self, request: Request) -> None:
        name, version = request.params
        if name != self._version.deployment:
            raise NotFound(f"there is no model {name!r} here", fix=f"ask for {self._version.deployment!r}")
        if version not in (None, str(self._version.number)):
            raise NotFound(
                f"version {version} of {name} is not served", fix=f"ask for version {self._version.number}, or for none"
            )


def _split(request: Request) -> tuple[bytes, memoryview]:
    """The JSON part of a body and the binary tensors after it."""
    given = request.headers.get(LENGTH)
    if given is None:
        return request.body, memoryview(b"")
    if not given.isdigit() or int(given) > len(request.body):
        raise InvalidInputs(
            "Inference-Header-Content-Length does not fit the body",
            fix="send the number of bytes of the JSON part",
            field="Inference-Header-Content-Length",
        )
    size = int(given)
    return request.body[:size], memoryview(request.body)[size:]


def _read(tensors: Sequence[InputTensor], binary: memoryview) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    offset = 0
    for tensor in tensors:
        if tensor.name in arrays:
            raise InvalidInputs(f"{tensor.name} stands twice", fix="send each input once", field=tensor.name)
        size = tensor.parameters.binary_data_size
        if size is None:
            arrays[tensor.name] = from_json(tensor.name, tensor.datatype, tensor.shape, tensor.data)
            continue
        if size < 0 or offset + size > len(binary):
            raise InvalidInputs(
                f"{tensor.name} has binary_data_size {size}, and {len(binary) - offset} bytes are left",
                fix="send the bytes of all binary inputs after the JSON part, in the order of the inputs",
                field=tensor.name,
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


def _as_array(value: Any) -> NDArray[Any]:
    """An answer as a tensor; one that is no array of numbers or texts becomes one JSON text for each row."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "to_numpy") and getattr(value, "ndim", 1) == 1:
        return np.asarray(value.to_numpy())
    plain = to_plain(value)
    rows = plain if isinstance(plain, list) else [plain]
    texts = np.empty(len(rows), dtype=object)
    texts[:] = [row if isinstance(row, str) else _encode(row).decode() for row in rows]
    return texts


def _output_type(output: Output) -> str:
    return datatype_of(output.dtype) if output.container in ("ndarray", "series") else "BYTES"


def _config_type(datatype: str) -> str:
    return "STRING" if datatype == "BYTES" else datatype
