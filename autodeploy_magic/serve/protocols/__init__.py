"""How clients speak to a deployment: one file a protocol, all on the one port, all through one core.

A protocol is a class named in `registry.PROTOCOLS`: made with the core, it lists its routes, and says how it words a
refusal. Reading the body, the token and the limits are the app's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from autodeploy_magic.errors import RequestRefused

__all__ = ["JSON", "Answer", "ClientProtocol", "Handler", "Request", "Route"]

JSON = "application/json"


@dataclass(slots=True)
class Request:
    """One request, its body read and within the limits. `params` are what the route's pattern captured.

    `rows` is for the record: handlers set it once they know it.
    """

    id: str
    path: str
    content_type: str
    headers: Mapping[bytes, bytes]
    body: bytes
    params: Sequence[str | None] = ()
    rows: int = 0


@dataclass(slots=True, frozen=True)
class Answer:
    """What goes back."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(slots=True, frozen=True)
class Route:
    """A path, literal or (with a parenthesis in it) a regular expression over the whole path.

    `content_types` are those a POST is read in; `open` needs no token; `recorded` counts in the deployment's metrics.
    """

    method: str
    path: str
    handler: Handler
    content_types: frozenset[str] = field(default_factory=frozenset)
    open: bool = False
    recorded: bool = False


class ClientProtocol(Protocol):
    """One way to speak to a deployment."""

    def routes(self) -> Sequence[Route]: ...

    def refusal(self, error: RequestRefused, request_id: str) -> Answer: ...
