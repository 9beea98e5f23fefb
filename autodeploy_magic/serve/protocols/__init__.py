"""How clients speak to a deployment: one file a protocol, all on the one port, all through one core.

A protocol is a class named in `registry.PROTOCOLS`: made with the road of one version, it lists its routes, reads a
request into rows, words the answer, says how it words a refusal, and describes all that (`operation`). Running the
rows, reading the body, the token and the limits are not its business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.wire import Batch

if TYPE_CHECKING:
    from autodeploy_magic.serve.lane.source import Source
    from autodeploy_magic.serve.protocols.operation import Operation

__all__ = ["JSON", "Answer", "ClientProtocol", "Handler", "Inference", "Request", "Route", "Stream"]

JSON = "application/json"


@dataclass(slots=True)
class Request:
    """One request, its body read and within the limits. `params` are what the route's pattern captured.

    `query` is what stands after the path's question mark, undecoded.
    """

    id: str
    path: str
    content_type: str
    headers: Mapping[bytes, bytes]
    body: bytes | bytearray
    params: Sequence[str | None] = ()
    query: bytes = b""


@dataclass(slots=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


class Stream(Answer):
    """An answer whose body comes in parts, from `source`; how many there will be, nobody knows. `body` is empty."""

    __slots__ = ("source",)

    def __init__(self, source: Source, content_type: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(b"", 200, content_type, headers)
        self.source = source


class Inference:
    """Rows that a request wants answered, with the outputs `names`, and how its protocol words the answer.

    `encode` turns the model's values (live dtypes, by output name) into the answer; it raises `ModelFailed` for what
    the protocol cannot say.
    """

    __slots__ = ("batch", "encode", "names")

    def __init__(self, batch: Batch, names: Sequence[str], encode: Callable[[dict[str, Any]], Answer]) -> None:
        self.batch = batch
        self.names = names
        self.encode = encode


Handler = Callable[[Request], Answer | Inference | Awaitable[Answer]]
"""Reads a request. Most give an answer at once, or rows that the version's lane is to run; all raise `RequestRefused`
for a request that they cannot take. Only an answer that is awaited may be a `Stream`."""


@dataclass(slots=True, frozen=True)
class Route:
    """A path, literal or (with a parenthesis in it) a regular expression over the whole path.

    `content_types` are those a POST is read in; `open` needs no token; `recorded` counts in the deployment's metrics,
    and is what canaries and shadows get a share of. `version_at` is the place among the path's parameters where a
    version may be named: the request then goes to that version, if it is loaded. `operation` describes it in
    `/docs.json`.
    """

    method: str
    path: str
    handler: Handler
    content_types: frozenset[str] = field(default_factory=frozenset)
    open: bool = False
    recorded: bool = False
    version_at: int | None = None
    operation: Callable[[], Operation] | None = None


class ClientProtocol(Protocol):
    """One way to speak to a deployment: made with the road it speaks for."""

    def routes(self) -> Sequence[Route]: ...

    def refusal(self, error: RequestRefused, request_id: str) -> Answer: ...
