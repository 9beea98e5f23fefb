"""The outer ASGI app of a worker: token, limits, the fast road. Everything else goes to the Bento's own app."""

from __future__ import annotations

import asyncio
import hmac
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

import msgspec

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
from autodeploy_magic.serve.bento import error_body
from autodeploy_magic.serve.model import ServedModel

__all__ = ["App", "Observe", "make_app"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

INLINE_S = 0.002
"""A model that answers a row faster than this runs on the event loop: handing it to a thread would cost as much."""
INLINE_ROWS = 64


class Observe(Protocol):
    """Told of every answer on the fast road: its status, seconds, rows and bytes."""

    def __call__(self, *, status: int, seconds: float, rows: int, bytes_in: int, bytes_out: int) -> None: ...


class Traffic:
    """What one request brought, as far as it was read."""

    __slots__ = ("rows", "size")

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0


Handler = Callable[[Scope, Receive, Traffic], Awaitable[dict[str, Any]]]


class Predict(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /predict`."""

    inputs: Any
    outputs: list[str] | None = None


class Lifespan(Protocol):
    """The Bento's own ASGI app, with the lifespan that its services need."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def shutdown(self) -> None: ...


def make_app(
    served: ServedModel, *, token: str | None, bento_app: Lifespan | None = None, observe: Observe | None = None
) -> App:
    """Return the app of one worker. `token` None means that no token is asked for."""
    return App(served, token=token, bento_app=bento_app, observe=observe)


class App:
    """`draining` makes every answer close its connection; `in_flight` counts requests that are not answered yet."""

    def __init__(
        self, served: ServedModel, *, token: str | None, bento_app: Lifespan | None, observe: Observe | None
    ) -> None:
        self.served = served
        self.draining = False
        self.in_flight = 0
        self._token = token.encode() if token else None
        self._bento_app = bento_app
        self._observe = observe
        self._max_body = int(settings.get("max_body_bytes"))
        self._decode = msgspec.json.Decoder(Predict).decode
        self._encode = msgspec.json.Encoder().encode
        self._slow = _one_row_s(served) > INLINE_S
        self._routes: dict[str, tuple[str, Handler]] = {
            "/predict": ("POST", self._predict),
            "/livez": ("GET", self._live),
            "/readyz": ("GET", self._live),
            "/healthz": ("GET", self._live),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        self.in_flight += 1
        try:
            await self._http(scope, receive, send)
        finally:
            self.in_flight -= 1

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = uuid.uuid4().hex
        path = scope["path"]
        traffic = Traffic()
        try:
            method, handler = self._routes.get(path, (None, None))
            if handler != self._live:
                self._authorize(scope)
            if handler is None:
                if self._bento_app is None:
                    raise NotFound(
                        f"nothing answers at {path}", fix="POST /predict, or GET /docs.json for what there is"
                    )
                await self._bento_app(scope, receive, self._closing(send))
                return
            if scope["method"] not in (method, "HEAD" if method == "GET" else method):
                raise MethodNotAllowed(
                    f"{path} answers {method}, not {scope['method']}", fix=f"send a {method} request"
                )
            answer = await handler(scope, receive, traffic)
            answer["id"] = request_id
            status, body = 200, self._encode(answer)
        except RequestRefused as error:
            status, body = error.status, self._encode(error_body(error, request_id))
        await self._reply(send, status, body, request_id)
        if self._observe is not None and path == "/predict":
            seconds = time.perf_counter() - started
            self._observe(status=status, seconds=seconds, rows=traffic.rows, bytes_in=traffic.size, bytes_out=len(body))

    async def _predict(self, scope: Scope, receive: Receive, traffic: Traffic) -> dict[str, Any]:
        _check_content_type(scope)
        body = await read_body(scope, receive, self._max_body)
        traffic.size = len(body)
        request = self._parse(body)
        names = self.served.output_names(request.outputs)
        batch = self.served.decode(request.inputs)
        traffic.rows = batch.rows
        if self._slow or batch.rows > INLINE_ROWS:
            answers = await asyncio.to_thread(self.served.run, batch, names)
        else:
            answers = self.served.run(batch, names)
        return {**self.served.encode(answers), "version": self.served.version.number}

    async def _live(self, _scope: Scope, _receive: Receive, _traffic: Traffic) -> dict[str, Any]:
        return {"status": "draining" if self.draining else "ready", "version": self.served.version.number}

    def _parse(self, body: bytes) -> Predict:
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            raise InvalidInputs(
                f"the body is not a request: {error}",
                fix='send {"inputs": [row, row, …]}, and if wanted "outputs": [name, …]',
                field="inputs" if "`inputs`" in str(error) else "body",
            ) from error
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidInputs(f"the body is not JSON: {error}", fix="send valid JSON", field="body") from error

    def _authorize(self, scope: Scope) -> None:
        if self._token is None:
            return
        scheme, _, given = header(scope, b"authorization").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise Unauthorized(
                "the bearer token is missing or wrong",
                fix="send the header «Authorization: Bearer TOKEN»; the owner finds the token in dep.token",
            )

    async def _reply(self, send: Send, status: int, body: bytes, request_id: str) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
        ]
        if status == Unauthorized.status:
            headers.append((b"www-authenticate", b"Bearer"))
        if self.draining or status == BodyTooLarge.status:  # the rest of a body that was not read must not be parsed
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

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


def header(scope: Scope, name: bytes) -> bytes:
    """The value of a request's header, b"" where it has none."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), b"")


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read a request's body. Raises `BodyTooLarge` as soon as it is known to have more than `limit` bytes."""
    declared = header(scope, b"content-length")
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


def _check_content_type(scope: Scope) -> None:
    given = header(scope, b"content-type")
    if given.partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedContent(
            f"the content type {given.decode('latin-1')!r} is not read here",
            fix="send «Content-Type: application/json»",
        )


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body has more than {limit} bytes",
        fix="send the rows in parts, or raise AUTODEPLOY_MAX_BODY_BYTES and restart the deployment",
        field="body",
    )


def _one_row_s(served: ServedModel) -> float:
    """What one row was measured to take when the version was verified; infinite where it was not measured."""
    chosen = next((item for item in served.version.candidates if item.format == served.version.format), None)
    return float("inf") if chosen is None or chosen.one_row_s is None else chosen.one_row_s
