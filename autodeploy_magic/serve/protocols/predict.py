"""`POST /predict`: rows, records or columns as JSON. The Bento's own road answers the same contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from autodeploy_magic.errors import InvalidInputs, RequestRefused
from autodeploy_magic.serve.core import Core
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route
from autodeploy_magic.serve.protocols.refusals import in_full

__all__ = ["Predict", "parse"]

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """{"inputs": rows, "outputs": names}"""

    inputs: Any
    outputs: list[str] | None = None


class Predict:
    """Our own protocol."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._decoder = msgspec.json.Decoder(Body)

    def routes(self) -> Sequence[Route]:
        return [Route("POST", "/predict", self._predict, frozenset({JSON}), recorded=True)]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    async def _predict(self, request: Request) -> Answer:
        body = parse(self._decoder, request.body, 'send {"inputs": [row, …]}, and if wanted "outputs": [name, …]')
        served = self._core.served
        names = served.output_names(body.outputs)
        batch = served.decode(body.inputs)
        request.rows = batch.rows
        answers = served.encode(await self._core.run(batch, names))
        answers["id"] = request.id
        answers["version"] = served.version.number
        return Answer(_encode(answers))


def parse(decoder: msgspec.json.Decoder[T], body: bytes, fix: str) -> T:
    """Read a JSON body. Raises `InvalidInputs` for what is not JSON or not the protocol's shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInputs(f"the body is not a request: {error}", fix=fix, field="body") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInputs(f"the body is not JSON: {error}", fix="send valid JSON", field="body") from error
