"""The Open Inference Protocol v2 as `inference.GRPCInferenceService`: its messages ↔ what the HTTP port answers too.

Source: kserve/open-inference-protocol; Triton's grpc_service.proto for its extensions, and its defaults: an answer's
tensors are raw bytes unless the request's parameter `binary_data_output` is false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from autodeploy_magic.errors import NotFound, RequestRefused
from autodeploy_magic.serve.grpc.calls import Call, Method, UnaryHandler, parse
from autodeploy_magic.serve.grpc.messages import Message, rpcs
from autodeploy_magic.serve.grpc.tensors import read_inputs, write_outputs
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.protocols import Answer, Inference, model_card, model_control
from autodeploy_magic.serve.protocols.refusals import one_line
from autodeploy_magic.serve.protocols.tensors import as_array
from autodeploy_magic.serve.road import Road
from autodeploy_magic.wire import from_arrays

__all__ = ["OpenInference"]

_RPCS = rpcs("inference.GRPCInferenceService")
_Infer = _RPCS["ModelInfer"].gives
_Streamed = _RPCS["ModelStreamInfer"].gives
_CONTENT_TYPE = "application/grpc"
_OPEN = {"ServerLive", "ServerReady"}


class OpenInference:
    """A deployment as one model, named like it; its versions are the deployment's."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def methods(self) -> Sequence[Method]:
        """What it answers."""
        unary: dict[str, UnaryHandler] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._metadata,
            "ModelConfig": self._config,
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
            "ModelInfer": self._infer,
        }
        return [
            *(Method(_RPCS[name], unary=handler, open=name in _OPEN) for name, handler in unary.items()),
            Method(_RPCS["ModelStreamInfer"], stream=self._stream),
        ]

    # Health.

    async def _live(self, _: Message, __: Call) -> bytes:
        return _say("ServerLive", live=True)

    async def _ready(self, _: Message, __: Call) -> bytes:
        return _say("ServerReady", ready=not self._front.draining)

    async def _model_ready(self, request: Message, _: Call) -> bytes:
        try:
            self._road(request.name, request.version)
        except NotFound:
            return _say("ModelReady", ready=False)
        return _say("ModelReady", ready=not self._front.draining)

    # What is served.

    async def _server_metadata(self, _: Message, __: Call) -> bytes:
        return _say("ServerMetadata", **model_card.server(self._front.lineup.champion))

    async def _metadata(self, request: Message, _: Call) -> bytes:
        road = self._road(request.name, request.version)
        return _say("ModelMetadata", **model_card.metadata(road, await model_card.known(road)))

    async def _config(self, request: Message, _: Call) -> bytes:
        road = self._road(request.name, request.version)
        return _say("ModelConfig", config=model_card.config(road, await model_card.known(road)))

    async def _statistics(self, request: Message, _: Call) -> bytes:
        name = request.name or self._front.lineup.champion.version.deployment  # Triton: none is all
        road = self._road(name, request.version)
        known = await model_card.known(road, totals=True)
        return _say("ModelStatistics", model_stats=model_card.statistics(road, known, request.version or None))

    async def _index(self, request: Message, _: Call) -> bytes:
        road = self._front.lineup.champion
        known = await model_card.known(road)
        return _say("RepositoryIndex", models=model_card.index(road, known, ready=request.ready))

    async def _load(self, request: Message, _: Call) -> bytes:
        await model_control.load(self._road(request.model_name), _plain(request.parameters))
        return _say("RepositoryModelLoad")

    async def _unload(self, request: Message, _: Call) -> bytes:
        await model_control.unload(self._road(request.model_name))
        return _say("RepositoryModelUnload")

    # Inference.

    async def _infer(self, request: Message, call: Call) -> bytes:
        version = request.model_version
        answer = await self._front.infer(
            int(version) if version.isdecimal() else None,
            partial(_read, request, request.id or call.id),
            bytes_in=call.size,
            origin=call,
        )
        return bytes(answer.body)

    async def _stream(self, call: Call) -> None:
        while (body := await call.receive()) is not None:
            request = parse(_RPCS["ModelStreamInfer"], body)
            answer = _Streamed()
            try:
                answer.infer_response.MergeFromString(await self._infer(request, call))
            except RequestRefused as error:
                answer.error_message = one_line(error)
                answer.infer_response.id = request.id
            if _plain(request.parameters).get("triton_enable_empty_final_response"):
                answer.infer_response.parameters["triton_final_response"].bool_param = True
            await call.send(answer.SerializeToString())

    def _road(self, name: str, version: str = "") -> Road:
        """The version that is asked about. Raises `NotFound`."""
        lineup = self._front.lineup
        road = self._front.choose(int(version)) if version.isdecimal() else lineup.champion
        model_card.check_model(road, name, version)
        return road


def _read(request: Message, request_id: str, road: Road) -> Inference:
    """The rows of a `ModelInferRequest`. Raises `RequestRefused`."""
    model_card.check_model(road, request.model_name, request.model_version)
    batch = from_arrays(road.version.signature, read_inputs(request), max_rows=road.served.max_rows)
    names = list(dict.fromkeys(output.name for output in request.outputs)) or [o.name for o in road.version.outputs]
    road.served.output_names(names)
    parameter = request.parameters.get("binary_data_output")
    typed = (
        parameter is not None and parameter.WhichOneof("parameter_choice") == "bool_param" and not parameter.bool_param
    )
    return Inference(batch, names, partial(_write, road, request_id, raw=not typed))


def _write(road: Road, request_id: str, outputs: dict[str, Any], *, raw: bool) -> Answer:
    """The answer to a `ModelInferRequest`."""
    response = _Infer(model_name=road.version.deployment, model_version=str(road.version.number), id=request_id)
    write_outputs(response, {name: as_array(value) for name, value in outputs.items()}, raw=raw)
    return Answer(response.SerializeToString(), content_type=_CONTENT_TYPE)


def _say(rpc: str, **fields: Any) -> bytes:
    body: bytes = _RPCS[rpc].gives(**fields).SerializeToString()
    return body


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they would stand in JSON."""
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
        for name, value in parameters.items()
    }
