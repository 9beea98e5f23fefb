"""Who gets in: every handler, and every way to be let in or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standin import StandIn, beginning
from tornado.httpclient import HTTPClientError

from autodeploy_magic.server_extension.routes import routes

READS = [("GET", "api/hello"), ("GET", "api/glances"), ("GET", "proxy/iris/"), ("HEAD", "proxy/iris/")]
WRITES = [
    ("POST", "api/deployments/iris/stop"),
    ("DELETE", "api/deployments/iris"),
    ("POST", "proxy/iris/predict"),
    ("PUT", "proxy/iris/x"),
    ("PATCH", "proxy/iris/x"),
    ("DELETE", "proxy/iris/x"),
]


def body_of(method: str) -> dict[str, Any]:
    return {"method": method, "body": b"{}" if method in ("POST", "PUT", "PATCH") else None}


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
async def test_nobody_gets_in_without_jupyters_leave(ask: Any, stand_in: Any, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "token wrong"}, {"Cookie": "username-localhost=wrong; _xsrf=1"}):
        answer = await ask(path, who="nobody", headers=headers | {"X-XSRFToken": "1"}, **body_of(method))
        assert answer.code == 403
    assert stand_in.calls == []


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_cookie_alone_changes_nothing(ask: Any, stand_in: Any, method: str, path: str) -> None:
    for headers in ({}, {"X-XSRFToken": "wrong"}):
        answer = await ask(path, who="cookie", headers=headers, **body_of(method))
        assert answer.code == 403
        assert "XSRF" in answer.body.decode().upper()
    assert stand_in.calls == []


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
async def test_a_page_of_another_origin_is_not_answered(ask: Any, stand_in: Any, method: str, path: str) -> None:
    answer = await ask(path, headers={"Origin": "https://elsewhere.example"}, **body_of(method))
    assert answer.code in (403, 404)
    assert stand_in.calls == []


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
async def test_jupyters_authorizer_is_asked(
    ask: Any, stand_in: Any, jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    asked: list[tuple[str, str]] = []

    def is_authorized(handler: Any, user: Any, action: str, resource: str) -> bool:
        if resource != "autodeploy":
            return True
        asked.append((action, resource))
        return False

    monkeypatch.setattr(jp_serverapp.web_app.settings["authorizer"], "is_authorized", is_authorized)
    assert (await ask(path, **body_of(method))).code == 403
    assert asked == [("read" if method in ("GET", "HEAD") else "write", "autodeploy")]
    assert stand_in.calls == []


async def test_a_person_without_a_login_is_sent_to_the_login_page(ask: Any) -> None:
    answer = await ask("proxy/iris/", who="nobody", headers={"Accept": "text/html"})
    assert answer.code == 302
    assert "/login" in answer.headers["Location"]


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
async def test_a_server_that_lets_nobody_in_by_default_is_no_other(
    ask: Any, stand_in: Any, jp_serverapp: Any, method: str, path: str
) -> None:
    jp_serverapp.web_app.settings["allow_unauthenticated_access"] = False
    assert (await ask(path, who="nobody", **body_of(method))).code == 403
    assert stand_in.calls == []
    stand_in.steps.put("done")
    expected = 404 if path.startswith("proxy") else 200  # there is no such deployment
    if path != "api/hello":
        assert (await ask(path, **body_of(method))).code == expected


def test_jupyter_finds_no_handler_that_forgot_to_ask(jp_serverapp: Any) -> None:
    for path, handler in routes("/"):
        assert jp_serverapp.web_app._check_handler_auth(path, handler) == []


@pytest.mark.parametrize(
    ("who", "headers"),
    [
        ("nobody", {}),
        ("nobody", {"Authorization": "token wrong"}),
        ("page", {"Origin": "https://elsewhere.example"}),
        ("cookie", {"Origin": "https://elsewhere.example"}),
    ],
)
async def test_the_stream_is_for_those_whom_jupyter_knows(
    browser: Any, stand_in: Any, who: str, headers: dict[str, str]
) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await browser.watch(who, **headers)
    assert refused.value.code == 403
    assert stand_in.streams == 0


@pytest.mark.parametrize("who", ["program", "page", "cookie"])
async def test_a_page_of_the_server_may_watch(browser: Any, stand_in: StandIn, who: str) -> None:
    stand_in.say(*beginning("iris"))
    socket = await browser.watch(who, Origin=browser.origin)
    assert b"hello" in (await socket.read_message()).encode()
    socket.close()
    await stand_in.ended()


async def test_the_authorizer_is_asked_for_the_stream(
    jp_ws_fetch: Any, jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jp_serverapp.web_app.settings["authorizer"], "is_authorized", lambda *_: False)
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("autodeploy", "live")
    assert refused.value.code == 403


async def test_a_preflight_follows_jupyters_rules(ask: Any, stand_in: Any) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for path in ("api/deployments/iris/stop", "proxy/iris/predict"):
        answer = await ask(path, who="nobody", method="OPTIONS", headers=headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert stand_in.calls == []


async def test_a_refusal_says_what_to_do(ask: Any) -> None:
    relayed = json.loads((await ask("api/glances", who="nobody")).body)["error"]
    proxied = json.loads((await ask("proxy/iris/", who="nobody")).body)
    assert relayed["error"] == proxied["error"] == "Forbidden"
    assert "token" in relayed["fix"]
    assert "token" in proxied["fix"]
