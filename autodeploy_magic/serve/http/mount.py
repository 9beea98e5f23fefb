"""The Bento's own ASGI app, loaded when the first request asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import ModelFailed
from autodeploy_magic.serve.owner import log_of

__all__ = ["LazyBento"]

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class LazyBento:
    """An ASGI app that becomes the Bento's at its first request: most deployments are never asked that way.

    A Bento that cannot be loaded answers every request with `ModelFailed` (500); the cause is in the log. A process
    loads one Bento and no other: what BentoML counts is counted once in a process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starting: asyncio.Task[ASGIApp] | None = None
        self._lifespan: _Lifespan | None = None
        self._may_start = asyncio.Event()
        self._may_start.set()

    def hold(self) -> bool:
        """Let requests wait until `release`, so that another Bento can take its place; false once it is loaded."""
        if self._starting is not None:
            return False
        self._may_start.clear()
        return True

    def release(self, path: Path | None = None) -> None:
        """Go on after `hold`, with the Bento at `path` where one is given."""
        self._path = path or self._path
        self._may_start.set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        app = await self.startup()
        await app(scope, receive, send)

    async def startup(self) -> ASGIApp:
        """Load the Bento, once, and run the start of its lifespan."""
        while not self._may_start.is_set():
            await self._may_start.wait()
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        # A client that goes away must not cancel the loading that others wait for.
        return await asyncio.shield(self._starting)

    async def shutdown(self) -> None:
        """Run the end of its lifespan, if it was ever started."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._lifespan is not None:
            await self._lifespan.shutdown()

    async def _start(self) -> ASGIApp:
        try:
            app = await asyncio.to_thread(self._load)
            lifespan = _Lifespan(app)
            await lifespan.startup()
        except Exception as error:  # a Bento's service runs the person's own code at import
            log.exception("the Bento at %s could not be started", self._path)
            raise ModelFailed(
                "the Bento's own app did not start", fix=f"the owner can read why in {log_of()}"
            ) from error
        self._lifespan = lifespan
        return app

    def _load(self) -> ASGIApp:
        import bentoml

        service: Any = bentoml.load(str(self._path))
        app: ASGIApp = service.to_asgi()
        return app


class _Lifespan:
    """The lifespan protocol of ASGI, seen from the server's side."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._task = asyncio.ensure_future(self._app(scope, self._to_app.get, self._from_app.put))
        await self._exchange("startup")

    async def shutdown(self) -> None:
        if self._task is None or self._task.done():
            return
        try:
            await self._exchange("shutdown")
        except RuntimeError:
            log.exception("the Bento's app did not shut down cleanly")
        with contextlib.suppress(asyncio.CancelledError):
            self._task.cancel()
            await self._task

    async def _exchange(self, what: str) -> None:
        assert self._task is not None
        await self._to_app.put({"type": f"lifespan.{what}"})
        answer = asyncio.create_task(self._from_app.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            if self._task.exception() is not None:
                raise RuntimeError(f"lifespan {what} failed") from self._task.exception()
            return  # an app may choose to have no lifespan
        if answer.result()["type"] == f"lifespan.{what}.failed":
            raise RuntimeError(f"lifespan {what} failed: {answer.result().get('message', '')}")
