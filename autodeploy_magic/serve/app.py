"""The outer ASGI app of a worker: token, limits, routes. What no protocol answers goes to the Bento's own app."""

from __future__ import annotations

import hmac
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

from autodeploy_magic import settings
from autodeploy_magic.errors import (
    BodyTooLarge,
    InvalidInputs,
    MethodNotAllowed,
    NotFound,
    RequestRefused,
    Unauthorized,
    UnsupportedContent,
)
from autodeploy_magic.registry import load, table
from autodeploy_magic.serve.core import Core
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.protocols import Answer, ClientProtocol, Request, Route

__all__ = ["App", "Mounted", "Observe", "make_app"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Observe(Protocol):
    """Told of every recorded answer: its status, seconds, rows and bytes."""

    def __call__(self, *, status: int, seconds: float, rows: int, bytes_in: int, bytes_out: int) -> None: ...


class Mounted(Protocol):
    """The Bento's own ASGI app, and the end of its lifespan."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def shutdown(self) -> None: ...


Routes = dict[str, tuple[Route, ClientProtocol]]


def make_app(
    served: ServedModel, *, token: str | None, bento_app: Mounted | None = None, observe: Observe | None = None
) -> App:
    """Return the app of one worker. `token` None means that no token is asked for."""
    return App(Core(served), token=token, bento_app=bento_app, observe=observe)


class App:
    """`draining` makes every answer close its connection, and the deployment not ready."""

    def __init__(self, core: Core, *, token: str | None, bento_app: Mounted | None, observe: Observe | None) -> None:
        self._core = core
        self._token = token.encode() if token else None
        self._bento_app = bento_app
        self._observe = observe
        self._max_body = int(settings.get("max_body_bytes"))
        protocols: list[ClientProtocol] = [load(reference)(core) for reference in table("protocols").values()]
        self._default = protocols[0]
        self._literal: dict[str, Routes] = {}
        self._patterns: list[tuple[re.Pattern[str], Routes]] = []
        for protocol in protocols:
            self._add(protocol)

    @property
    def draining(self) -> bool:
        return self._core.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._core.draining = value

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = uuid.uuid4().hex
        protocol, route, request = self._default, None, None
        headers = dict(scope["headers"])
        try:
            routes, params = self._find(scope["path"])
            if routes is None:
                self._authorize(headers)
                if self._bento_app is not None:
                    await self._bento_app(scope, receive, self._closing(send))
                    return
                raise NotFound(f"nothing answers at {scope['path']}", fix="POST /predict")
            protocol = next(iter(routes.values()))[1]
            if not next(iter(routes.values()))[0].open:
                self._authorize(headers)
            route = _by_method(routes, scope)
            request = Request(request_id, scope["path"], _content_type(headers), headers, b"", params)
            if route.method == "POST":
                self._check_content_type(route, request)
                request.body = await read_body(headers, receive, self._max_body)
            answer = await route.handler(request)
        except RequestRefused as error:
            answer = protocol.refusal(error, request_id)
        await self._reply(send, answer, request_id)
        if self._observe is not None and route is not None and route.recorded:
            self._observe(
                status=answer.status,
                seconds=time.perf_counter() - started,
                rows=request.rows if request else 0,
                bytes_in=len(request.body) if request else 0,
                bytes_out=len(answer.body),
            )

    def _add(self, protocol: ClientProtocol) -> None:
        patterns: dict[str, Routes] = {}
        for route in protocol.routes():
            routes = (patterns if "(" in route.path else self._literal).setdefault(route.path, {})
            routes[route.method] = (route, protocol)
        self._patterns += [(re.compile(path), routes) for path, routes in patterns.items()]

    def _find(self, path: str) -> tuple[Routes | None, Sequence[str | None]]:
        routes = self._literal.get(path)
        if routes is not None:
            return routes, ()
        for pattern, routes in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                return routes, match.groups()
        return None, ()

    def _authorize(self, headers: dict[bytes, bytes]) -> None:
        if self._token is None:
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise Unauthorized(
                "the bearer token is missing or wrong",
                fix="send the header «Authorization: Bearer TOKEN»; the owner finds the token in dep.token",
            )

    def _check_content_type(self, route: Route, request: Request) -> None:
        """An allow-list: without a token, a type that a browser sends across sites unasked is never on it."""
        if request.content_type not in route.content_types or not (request.content_type or self._token):
            wanted = " or ".join(sorted(kind for kind in route.content_types if kind))
            raise UnsupportedContent(
                f"the content type {request.content_type!r} is not read here", fix=f"send «Content-Type: {wanted}»"
            )

    async def _reply(self, send: Send, answer: Answer, request_id: str) -> None:
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"x-request-id", request_id.encode()),
            *answer.headers,
        ]
        if answer.status == Unauthorized.status:
            headers.append((b"www-authenticate", b"Bearer"))
        # A body that was not read must not be taken for the next request.
        if self.draining or answer.status == BodyTooLarge.status:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _closing(self, send: Send) -> Send:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self.draining:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        return closing

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._bento_app is not None:
            await self._bento_app.shutdown()
        await send({"type": "lifespan.shutdown.complete"})


def _by_method(routes: Routes, scope: Scope) -> Route:
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    found = routes.get(method)
    if found is None:
        wanted = " or ".join(sorted(routes))
        raise MethodNotAllowed(
            f"{scope['path']} answers {wanted}, not {scope['method']}", fix=f"send a {wanted} request"
        )
    return found[0]


def _content_type(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Read a request's body. Raises `BodyTooLarge` as soon as it is known to have more than `limit` bytes."""
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInputs("the client went away before its request was whole", field="body")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body has more than {limit} bytes",
        fix="send the rows in parts, or raise AUTODEPLOY_MAX_BODY_BYTES and restart the deployment",
        field="body",
    )
