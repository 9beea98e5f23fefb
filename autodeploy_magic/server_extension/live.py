"""The WebSocket autodeploy/live: what `Supervisor.live` tells, one message a text frame."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from autodeploy_magic.errors import InvalidName
from autodeploy_magic.server_extension.backend import Backend
from autodeploy_magic.server_extension.refusals import RESOURCE, Refused
from autodeploy_magic.store import check_name

__all__ = ["TRY_AGAIN", "LiveHandler"]

TRY_AGAIN = 1013
"""The code that a page is sent away with that reads too slowly: it is to connect again, and gets the full picture."""


class LiveHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One page that watches. It has nothing to say."""

    auth_resource = RESOURCE

    def initialize(self) -> None:
        self._names: list[str] = []
        self._sending: asyncio.Task[None] | None = None

    @ws_authenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, "read", RESOURCE)):
            raise web.HTTPError(HTTPStatus.FORBIDDEN)
        try:
            self._names = [check_name(name) for name in self.get_query_argument("names", "").split(",") if name]
        except InvalidName as error:
            raise Refused(HTTPStatus.BAD_REQUEST, error) from error
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        super().open(*args, **kwargs)
        self._sending = asyncio.ensure_future(self._send())

    def on_message(self, message: str | bytes) -> None:
        """Nothing that a page says is listened to."""

    def on_close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    async def _send(self) -> None:
        backend: Backend = self.settings[Backend.SETTING]
        with backend.feed.watched(self._names, self._fell_behind) as watcher:
            while True:
                text = await watcher.waiting.get()
                try:
                    await self.write_message(text.decode())
                except WebSocketClosedError:
                    return

    def _fell_behind(self) -> None:
        self.log.warning("a page that watches deployments reads too slowly; it is sent away, to begin anew")
        self.close(TRY_AGAIN, "too slow: connect again")

    def write_error(self, status_code: int, **found: Any) -> None:
        self.set_status(status_code)
        self.finish()
