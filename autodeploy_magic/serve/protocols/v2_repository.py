"""What the Open Inference Protocol says of all versions together: index, loading, unloading, statistics.

Source: Triton's extension_model_repository.md and extension_statistics.md. What is loaded holds for all workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route, model_card, model_control, v2_operations
from autodeploy_magic.serve.protocols.predict import parse
from autodeploy_magic.serve.protocols.refusals import in_one_line
from autodeploy_magic.serve.protocols.v2_infer_operation import BINARY
from autodeploy_magic.serve.road import Road

__all__ = ["ModelRepository"]

# Triton's own client sends no content type.
_CONTENT_TYPES = frozenset({JSON, BINARY, ""})
_MODEL = r"/v2/models/([^/]+)(?:/versions/([^/]+))?"

_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


class IndexBody(msgspec.Struct):
    """`ready` asks for those alone that answer."""

    ready: bool = False


class ControlBody(msgspec.Struct):
    """What `load` and `unload` are to do beyond the plain thing."""

    parameters: dict[str, Any] = {}


class ModelRepository:
    """A deployment's versions as those of one model in a repository."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._index_decoder = msgspec.json.Decoder(IndexBody)
        self._control_decoder = msgspec.json.Decoder(ControlBody)

    def routes(self) -> Sequence[Route]:
        about, road, kinds = v2_operations, self._road, _CONTENT_TYPES
        named = "/v2/repository/models/([^/]+)"
        return [
            Route("GET", "/v2/models/stats", self._all_statistics, operation=about.all_statistics),
            Route("GET", f"{_MODEL}/stats", self._statistics, version_at=1, operation=about.statistics),
            Route("POST", "/v2/repository/index", self._index, kinds, operation=about.index),
            Route("POST", f"{named}/load", self._load, kinds, operation=partial(about.load, road)),
            Route("POST", f"{named}/unload", self._unload, kinds, operation=about.unload),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_one_line(error, request_id)

    async def _all_statistics(self, _: Request) -> Answer:
        return await self._tell_statistics(None)

    async def _statistics(self, request: Request) -> Answer:
        name, version = request.params
        model_card.check_model(self._road, str(name), version)
        return await self._tell_statistics(version)

    async def _tell_statistics(self, version: str | None) -> Answer:
        known = await model_card.known(self._road, totals=True)
        return Answer(_encode({"model_stats": model_card.statistics(self._road, known, version)}))

    async def _index(self, request: Request) -> Answer:
        body = _parse(self._index_decoder, IndexBody(), request)
        known = await model_card.known(self._road)
        return Answer(_encode(model_card.index(self._road, known, ready=body.ready)))

    async def _load(self, request: Request) -> Answer:
        name = self._named(request)
        body = _parse(self._control_decoder, ControlBody(), request)
        await model_control.load(self._road, body.parameters)
        return Answer(_encode({"name": name, "load": True}))

    async def _unload(self, request: Request) -> Answer:
        name = self._named(request)
        _parse(self._control_decoder, ControlBody(), request)
        await model_control.unload(self._road)
        return Answer(_encode({"name": name, "unload": True}))

    def _named(self, request: Request) -> str:
        name = str(request.params[0])
        model_card.check_model(self._road, name, None)
        return name


def _parse(decoder: msgspec.json.Decoder[T], nothing: T, request: Request) -> T:
    """The body, which may be left out."""
    return parse(decoder, request.body, "send a JSON object, or no body") if request.body else nothing
