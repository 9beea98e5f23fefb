"""`POST /predict`: rows, records or columns as JSON, a table, or one picture as it is.

The Bento's own road answers the same in JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import InvalidInputs, NotAcceptable, RequestRefused
from autodeploy_magic.serve.protocols import JSON, Answer, Inference, Request, Route, events, predict_operation
from autodeploy_magic.serve.protocols.events import EVENTS
from autodeploy_magic.serve.protocols.refusals import in_full
from autodeploy_magic.serve.protocols.tables import TABLES, Tables, accepted_form, asked_outputs
from autodeploy_magic.wire import Batch
from autodeploy_magic.wire.fields import short
from autodeploy_magic.wire.pictures import CONTENT_TYPES

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["Predict", "parse"]

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


_USUAL = ("predictions",)


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """{"inputs": rows, "outputs": names}"""

    inputs: Any
    outputs: list[str] | None = None


class Predict:
    """Our own protocol."""

    def __init__(self, road: Road) -> None:
        self._served = road.served
        self._version = road.version.number
        self._operation = partial(predict_operation.predict, road)
        self._decoder = msgspec.json.Decoder(Body)
        self._tables = Tables(road.served)
        self._file_types = _file_types(road.version.signature)
        self._others: dict[str, Literal["events"]] = {EVENTS: "events"} if road.served.streams else {}
        self._road = road

    def routes(self) -> Sequence[Route]:
        types = frozenset({JSON, *TABLES, *self._file_types})
        return [Route("POST", "/predict", self._predict, types, recorded=True, operation=self._operation)]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    def _predict(self, request: Request) -> Inference | Awaitable[Answer]:
        form = None
        if request.headers.get(b"accept", b"*/*") != b"*/*":
            form = accepted_form(request.headers, others=self._others)
        if request.content_type == JSON:
            body = parse(self._decoder, request.body, 'send {"inputs": [row, …]}, and if wanted "outputs": [name, …]')
            names = _USUAL if body.outputs is None else self._served.output_names(body.outputs)
            batch = self._served.decode(body.inputs)
        else:
            names = self._served.output_names(asked_outputs(request.query))
            if request.content_type in self._file_types:
                batch = self._served.decode(self._one_file(bytes(request.body)))
            else:
                batch = self._tables.read(request)
        if form is None:
            return Inference(batch, names, partial(self._answer, request.id))
        if form == "events":
            return self._stream(request.id, batch, names)
        self._tables.check(form, names)
        return Inference(batch, names, partial(self._tables.write, form, batch.rows, request.id))

    def _one_file(self, data: bytes) -> list[Any]:
        signature = self._served.version.signature
        return [data] if signature.container == "list" else [{signature.columns[0].name: data}]

    def _stream(self, request_id: str, batch: Batch, names: Sequence[str]) -> Awaitable[Answer]:
        if tuple(names) != _USUAL:
            raise NotAcceptable(
                f"{', '.join(names)} cannot come item by item", why="the predictions alone do", fix="leave outputs out"
            )
        return events.answer(self._road.lane.stream(batch, events.ItemEvents(self._served, request_id)))

    def _answer(self, request_id: str, outputs: dict[str, Any]) -> Answer:
        plain = self._served.encode(outputs)
        plain["id"] = request_id
        plain["version"] = self._version
        return Answer(_encode(plain))


def _file_types(signature: Signature) -> frozenset[str]:
    """The content types of a body that is the one file of one row; none where a row is anything else."""
    (first, *others) = signature.columns
    return frozenset() if others else CONTENT_TYPES.get(first.dtype, frozenset())


def parse(decoder: msgspec.json.Decoder[T], body: bytes | bytearray | memoryview, fix: str) -> T:
    """Read a JSON body. Raises `InvalidInputs` for what is not JSON or not the protocol's shape."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInputs(f"the body is not a request: {short(str(error))}", fix=fix, field="body") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInputs(f"the body is not JSON: {error}", fix="send valid JSON", field="body") from error
