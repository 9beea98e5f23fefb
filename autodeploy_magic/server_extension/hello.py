"""GET autodeploy/api/hello: how a page finds out that the extension is here."""

from __future__ import annotations

import contextlib

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

import autodeploy_magic
from autodeploy_magic.server_extension.calls import Call
from autodeploy_magic.server_extension.relay import ApiHandler

__all__ = ["HelloHandler"]

AT_ONCE_S = 1.0
"""A supervisor that does not answer a ping within this counts as none."""


class HelloHandler(ApiHandler):
    """Says which release this is, and whether a supervisor answers."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        answer = await Call(lambda _: self.backend.looking.ping()).end(within_s=AT_ONCE_S)
        found = answer is not None and "result" in answer
        with contextlib.suppress(StreamClosedError):
            await self.line({"result": {"release": autodeploy_magic.__version__, "supervisor": found}})
