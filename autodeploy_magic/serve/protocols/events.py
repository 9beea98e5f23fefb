"""The answer of `POST /predict` as server-sent events, where the version streams: each item as it comes.

    data: {"prediction": …}
    event: end      data: {"id", "version", "items", "seconds", "first_s"}
    event: error    data: what a refusal says, after the items that came before it

Source: html.spec.whatwg.org, "Server-sent events".
"""

from __future__ import annotations

from typing import Any

import msgspec

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.bento import error_body
from autodeploy_magic.serve.lane.source import Source
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import Stream

__all__ = ["EVENTS", "ItemEvents", "answer"]

EVENTS = "text/event-stream"

_HEADERS = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
"""For whoever stands between: nginx would hold the items back until it has a few kilobytes of them."""
_encode = msgspec.json.Encoder().encode


class ItemEvents:
    """One request's items in words."""

    def __init__(self, served: ServedModel, request_id: str) -> None:
        self._served = served
        self._id = request_id

    def item(self, value: Any) -> bytes:
        return b"data: %b\n\n" % _encode(self._served.encode({"prediction": value}))

    def end(self, source: Source) -> bytes:
        body = {
            "id": self._id,
            "version": self._served.version.number,
            "items": source.items,
            "seconds": round(source.seconds, 6),
            "first_s": None if source.first_s is None else round(source.first_s, 6),
        }
        return b"event: end\ndata: %b\n\n" % _encode(body)

    def error(self, error: RequestRefused) -> bytes:
        return b"event: error\ndata: %b\n\n" % _encode(error_body(error, self._id))


async def answer(source: Source) -> Stream:
    """The answer, once there is an item, or an end without one: what fails before that is refused as ever."""
    try:
        await source.opened
    except BaseException:
        source.close()
        raise
    return Stream(source, EVENTS, _HEADERS)
