"""TensorFlow Serving's REST API, which is KServe's v1 too: `POST /v1/models/NAME:predict`.

Source: tensorflow.org/tfx/serving/api_rest, and KServe's v1 data plane. The row form ("instances") is answered with
"predictions", the column form ("inputs") with "outputs".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from autodeploy_magic.errors import InvalidInputs, NotFound, RequestRefused
from autodeploy_magic.serve.core import Core
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import in_one_line
from autodeploy_magic.serve.protocols.tensors import datatype_of, input_shape, output_shape

__all__ = ["TensorFlowServing"]

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+))?"
_TYPES = {"FP16": "DT_HALF", "FP32": "DT_FLOAT", "FP64": "DT_DOUBLE", "BYTES": "DT_STRING"}

_encode = msgspec.json.Encoder().encode


class Body(msgspec.Struct):
    """Either `instances` or `inputs`. The signature's name is of no use here: there is one."""

    instances: Any = None
    inputs: Any = None
    signature_name: str = ""


class TensorFlowServing:
    """A deployment as one model, named like it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._version = core.served.version
        self._decoder = msgspec.json.Decoder(Body)

    def routes(self) -> Sequence[Route]:
        predict = self._predict
        return [
            Route("GET", "/v1/models", self._list),
            Route("GET", _MODEL, self._status),
            Route("GET", f"{_MODEL}/metadata", self._metadata),
            # A client that was written for TensorFlow Serving may send no content type at all.
            Route("POST", f"{_MODEL}:predict", predict, frozenset({JSON, ""}), recorded=True),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_one_line(error, request_id)

    async def _list(self, _: Request) -> Answer:
        return Answer(_encode({"models": [self._version.deployment]}))

    async def _status(self, request: Request) -> Answer:
        self._check_model(request)
        ready = not self._core.draining
        state = {"version": str(self._version.number), "state": "AVAILABLE" if ready else "UNLOADING"}
        status = {**state, "status": {"error_code": "OK", "error_message": ""}}
        # The first entry is TensorFlow Serving's, the other two are KServe's.
        body = {"model_version_status": [status], "name": self._version.deployment, "ready": ready}
        return Answer(_encode(body))

    async def _metadata(self, request: Request) -> Answer:
        self._check_model(request)
        table = self._version.signature.container == "dataframe"
        inputs = {c.name: _tensor(c.dtype, input_shape(c, table=table)) for c in self._version.signature.columns}
        outputs = {o.name: _tensor(o.dtype, output_shape(o)) for o in self._version.outputs}
        signature = {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict"}
        body = {
            "model_spec": {"name": self._version.deployment, "version": str(self._version.number)},
            "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
        }
        return Answer(_encode(body))

    async def _predict(self, request: Request) -> Answer:
        self._check_model(request)
        body = parse(self._decoder, request.body, 'send {"instances": [row, …]}')
        if (body.instances is None) == (body.inputs is None):
            raise InvalidInputs(
                "the body needs instances or inputs, not both", fix='send {"instances": [row, …]}', field="body"
            )
        by_row = body.inputs is None
        served = self._core.served
        batch = served.decode(body.instances if by_row else body.inputs)
        request.rows = batch.rows
        answers = served.encode(await self._core.run(batch, ("predictions",)))
        return Answer(_encode({"predictions" if by_row else "outputs": answers["predictions"]}))

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
