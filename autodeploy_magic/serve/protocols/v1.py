"""TensorFlow Serving's REST API, which is KServe's v1 too: `POST /v1/models/NAME:predict`.

Source: tensorflow.org/tfx/serving/api_rest, and KServe's v1 data plane. The row form ("instances") is answered with
"predictions", the column form ("inputs") with "outputs". Each output is a signature: "serving_default" the predictions,
the others by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from autodeploy_magic.contracts import Output
from autodeploy_magic.errors import InvalidInputs, NotFound, RequestRefused
from autodeploy_magic.serve.protocols import JSON, Answer, Inference, Request, Route, model_card, v1_operations
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import in_one_line
from autodeploy_magic.serve.protocols.tensorflow_values import plain
from autodeploy_magic.serve.protocols.tensors import datatype_of, input_shape, output_shape
from autodeploy_magic.serve.protocols.v1_operations import DEFAULT
from autodeploy_magic.serve.road import Road
from autodeploy_magic.wire.fields import short

__all__ = ["TensorFlowServing"]

_MODEL = r"/v1/models/([^/]+)(?:/versions/([^/]+))?"
_TYPES = {"FP16": "DT_HALF", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING"}

_encode = msgspec.json.Encoder().encode


class Body(msgspec.Struct):
    """Either `instances` or `inputs`, and the signature that is to answer them."""

    instances: Any = None
    inputs: Any = None
    signature_name: str = ""


class TensorFlowServing:
    """A deployment as one model, named like it."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._version = road.version
        self._decoder = msgspec.json.Decoder(Body)
        self._outputs = {output.name: output.name for output in self._version.outputs}
        self._outputs |= dict.fromkeys(("", DEFAULT), "predictions")

    def routes(self) -> Sequence[Route]:
        about = v1_operations
        return [
            # Before the model's own path, which would take the verb for a part of its name.
            Route(
                "POST",
                f"{_MODEL}:predict",
                self._predict,
                frozenset({JSON, ""}),  # a client that was written for TensorFlow Serving may send no content type
                recorded=True,
                version_at=1,
                operation=partial(about.predict, self._road),
            ),
            Route("GET", "/v1/models", self._list, operation=about.models),
            Route("GET", _MODEL, self._status, version_at=1, operation=about.status),
            Route("GET", f"{_MODEL}/metadata", self._metadata, version_at=1, operation=about.metadata),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_one_line(error, request_id)

    def _list(self, _: Request) -> Answer:
        return Answer(_encode({"models": [self._version.deployment]}))

    async def _status(self, request: Request) -> Answer:
        self._check_model(request)
        ready = not self._road.draining
        numbers = [self._version.number]
        if request.params[1] is None and ready:
            numbers = (await model_card.known(self._road)).ready
        state = {"state": "AVAILABLE" if ready else "UNLOADING", "status": {"error_code": "OK", "error_message": ""}}
        statuses = [{"version": str(number), **state} for number in sorted(numbers, reverse=True)]
        # The first entry is TensorFlow Serving's, the other two are KServe's.
        return Answer(
            _encode({"model_version_status": statuses, "name": self._version.deployment, "ready": ready}),
        )

    def _metadata(self, request: Request) -> Answer:
        self._check_model(request)
        outputs = {output.name: output for output in self._version.outputs}
        signatures = {DEFAULT: self._signature(outputs["predictions"])}
        signatures |= {name: self._signature(output) for name, output in outputs.items() if name != "predictions"}
        body = {
            "model_spec": {
                "name": self._version.deployment,
                "signature_name": "",
                "version": str(self._version.number),
            },
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
        return Answer(_encode(body))

    def _signature(self, output: Output) -> dict[str, Any]:
        table = self._version.signature.container == "dataframe"
        inputs = {c.name: _tensor(c.dtype, input_shape(c, table=table)) for c in self._version.signature.columns}
        outputs = {output.name: _tensor(output.dtype, output_shape(output))}
        return {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"}

    def _predict(self, request: Request) -> Inference:
        self._check_model(request)
        body = parse(self._decoder, request.body, 'send {"instances": [row, …]}')
        if (body.instances is None) == (body.inputs is None):
            raise InvalidInputs(
                "the body needs instances or inputs, not both", fix='send {"instances": [row, …]}', field="body"
            )
        output = self._outputs.get(body.signature_name)
        if output is None:
            raise InvalidInputs(
                f"there is no signature {short(body.signature_name)!r}",
                fix=f"leave signature_name out, or send one of: {', '.join([name for name in self._outputs if name])}",
                field="signature_name",
            )
        by_row = body.inputs is None
        given = plain(self._version.signature, body.instances if by_row else body.inputs)
        batch = self._road.served.decode(given)
        return Inference(batch, (output,), partial(self._answer, "predictions" if by_row else "outputs"))

    def _answer(self, name: str, outputs: dict[str, Any]) -> Answer:
        (values,) = self._road.served.encode(outputs).values()
        return Answer(_encode({name: values}))

    def _check_model(self, request: Request) -> None:
        name, version = request.params
        if name != self._version.deployment or version not in (None, str(self._version.number)):
            raise NotFound(
                f"Servable not found for request: {name}" + (f" version {version}" if version else ""),
                fix=f"ask for {self._version.deployment}, version {self._version.number}",
            )


def _tensor(dtype: str, shape: list[int]) -> dict[str, Any]:
    datatype = datatype_of(dtype)
    sizes = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": _TYPES.get(datatype, f"DT_{datatype}"), "tensor_shape": {"dim": sizes, "unknown_rank": False}}
