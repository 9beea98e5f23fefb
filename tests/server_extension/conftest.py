"""A Jupyter Server with the extension inside the test's process, and those who ask it: a program, a page, nobody."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403  # its fixtures, for this folder alone: some begin by themselves
from standin import StandIn
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, websocket_connect
from traitlets.config import Config
from world import World

from autodeploy_magic.server_extension.backend import Backend
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

XSRF = "0123456789abcdef"

Ask = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def jp_server_config() -> Config:
    return Config({"ServerApp": {"jpserver_extensions": {"autodeploy_magic.server_extension": True}}})


@pytest.fixture
def jp_home_dir(tmp_path: Path) -> Path:
    """Not where the state folder is."""
    folder = tmp_path / "person"
    folder.mkdir()
    return folder


@pytest.fixture
def world(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A real supervisor on the state folder that the Jupyter Server uses, too."""
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "1.0")
    world = World(store, connect(store))
    yield world
    world.end()


class Browser:
    """Asks as a `program` (Jupyter's token), a `page` (cookie and XSRF), with a `cookie` alone, or as `nobody`."""

    def __init__(self, client: Any, base_url: str, token: str) -> None:
        self._client = client
        self._base_url = base_url
        self._token = token
        self._cookies: str = ""

    async def ask(
        self,
        path: str,
        *,
        who: str = "page",
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> HTTPResponse:
        """Never raises for the answer's status, and follows no redirect."""
        sent = await self.headers(who) | (headers or {})
        more = {"raise_error": False, "follow_redirects": False, "request_timeout": 30, **more}
        answer: HTTPResponse = await self._client.fetch(f"{self._base_url}autodeploy/{path}", headers=sent, **more)
        return answer

    async def watch(self, who: str = "page", **headers: str) -> WebSocketClientConnection:
        url = self._client.get_url(f"{self._base_url}autodeploy/live").replace("http", "ws", 1)
        return await websocket_connect(HTTPRequest(url, headers=await self.headers(who) | headers))

    @property
    def origin(self) -> str:
        return str(self._client.get_url(""))

    async def headers(self, who: str) -> dict[str, str]:
        if who == "program":
            return {"Authorization": f"token {self._token}"}
        if who == "nobody":
            return {}
        assert who in ("page", "cookie")
        cookie = {"Cookie": f"{await self._login()}; _xsrf={XSRF}"}
        return cookie | {"X-XSRFToken": XSRF} if who == "page" else cookie

    async def _login(self) -> str:
        """The cookie that Jupyter gives to whoever came with its token."""
        if not self._cookies:
            answer = await self._client.fetch(
                f"{self._base_url}api/status?{urllib.parse.urlencode({'token': self._token})}"
            )
            (self._cookies,) = re.findall(r"username-[^;]*", ";".join(answer.headers.get_list("Set-Cookie")))
        return self._cookies


@pytest.fixture
def browser(http_server_client: Any, jp_base_url: str, jp_serverapp: Any, home: Any) -> Browser:
    return Browser(http_server_client, jp_base_url, jp_serverapp.identity_provider.token)


@pytest.fixture
def ask(browser: Browser) -> Ask:
    return browser.ask


@pytest.fixture
def stand_in(jp_serverapp: Any) -> StandIn:
    """In the supervisor's place for all calls, whether or not they would start one."""
    backend = jp_serverapp.web_app.settings[Backend.SETTING]
    backend.looking = backend.acting = stand_in = StandIn()
    return stand_in
