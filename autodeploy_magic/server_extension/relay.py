"""GET, POST, DELETE autodeploy/api/PATH: one call of the supervisor, for a page. See `Supervisor.page_call`."""

from __future__ import annotations

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from autodeploy_magic.contracts import Report
from autodeploy_magic.errors import BodyTooLarge, InvalidName, InvalidOption
from autodeploy_magic.server_extension.backend import Backend
from autodeploy_magic.server_extension.calls import Call
from autodeploy_magic.server_extension.headers import without_ours
from autodeploy_magic.server_extension.refusals import RESOURCE, Refused, told
from autodeploy_magic.store import check_name

__all__ = ["MAX_BODY_BYTES", "ApiHandler", "RelayHandler"]

MAX_BODY_BYTES = 64 * 1024
"""A page changes settings; it sends no data."""


class ApiHandler(APIHandler):
    """Answers in JSON lines, refusals too: the last line holds "result" or "error"."""

    auth_resource = RESOURCE

    @property
    def backend(self) -> Backend:
        backend: Backend = self.settings[Backend.SETTING]
        return backend

    def initialize(self) -> None:
        # A page that is left open asks again and again. That must not keep a server awake that is to end when idle.
        self._track_activity = self.request.method != "GET"

    async def line(self, message: dict[str, Any]) -> None:
        """Send one line at once. Raises `StreamClosedError` where the page is gone."""
        self.set_header("Content-Type", "application/x-ndjson")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # a proxy is to hand on each line as it comes
        self.write(msgspec.json.encode(message) + b"\n")
        await self.flush()

    def write_error(self, status_code: int, **found: Any) -> None:
        error = told(status_code, found.get("exc_info"))
        self.set_status(status_code)
        body = msgspec.json.encode({"error": error.to_payload()}) + b"\n"
        self.finish(body, set_content_type="application/x-ndjson")


@web.stream_request_body
class RelayHandler(ApiHandler):
    """Takes a call to the supervisor, and what it says back. HTTP's status is 200 for errors of the call, too."""

    def initialize(self) -> None:
        super().initialize()
        self._body = bytearray()
        self._call: Call | None = None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if len(self._body) <= MAX_BODY_BYTES:
            self._body += chunk
        return None

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self._relay()

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self._relay(self._read())

    @web.authenticated
    @authorized
    async def delete(self) -> None:
        await self._relay()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._call is not None:
            self._call.leave()

    async def _relay(self, body: dict[str, Any] | None = None) -> None:
        method, path, name = str(self.request.method), self._path(), self._name()

        def perform(report: Report) -> Any:
            # Whoever changes a deployment that exists wants the supervisor for it; looking starts none.
            acts = method != "GET" and name and self.backend.store.exists(name)
            supervisor = self.backend.acting if acts else self.backend.looking
            return supervisor.page_call(method, path, body, report)

        self._call = Call(perform)
        try:
            async for message in self._call.messages():
                await self.line(message)
        except StreamClosedError:
            self._call.leave()

    def _read(self) -> dict[str, Any] | None:
        if len(self._body) > MAX_BODY_BYTES:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                BodyTooLarge("the call is too large", why=f"a call has at most {MAX_BODY_BYTES:,} bytes"),
            )
        if not self._body:
            return None
        try:
            return msgspec.json.decode(bytes(self._body), type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                InvalidOption("the call cannot be read", why=str(error), fix="send a JSON object"),
            ) from error

    def _path(self) -> str:
        """The call's own path, as it came, with the parameters that are meant for it."""
        path = "/" + self.request.path.removeprefix(f"{self.base_url}autodeploy/api/")
        query = without_ours(self.request.query)
        return f"{path}?{query}" if query else path

    def _name(self) -> str:
        """The deployment that the path names, "" for none."""
        room, _, rest = self._path().partition("?")[0].removeprefix("/").partition("/")
        name = rest.partition("/")[0]
        if room != "deployments" or not name:
            return ""
        try:
            return check_name(name)
        except InvalidName as error:
            raise Refused(HTTPStatus.BAD_REQUEST, error) from error
