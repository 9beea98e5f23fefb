"""autodeploy/proxy: what goes through it, to a port that tells what it was sent."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.simple_httpclient import HTTPStreamClosedError

from autodeploy_magic.contracts import Desired
from autodeploy_magic.store import Store

MANY = 3_000_000


class Everything(web.RequestHandler):
    """Tells what arrived, or does what the path says."""

    def on_connection_close(self) -> None:
        self.settings["echo"].left.set()

    async def _any(self) -> None:
        path = self.request.path
        if path == "/stream":
            self.set_header("Content-Type", "text/event-stream")
            for number in range(3):
                self.write(f"data: {number}\n\n")
                await self.flush()
                await self.settings["echo"].go_on.get()
        elif path == "/large":
            for _ in range(MANY // 100_000):
                self.write(b"x" * 100_000)
                await self.flush()
        elif path == "/elsewhere":
            self.redirect(self.get_query_argument("to"), status=307)
        elif path == "/dies":
            self.detach().close()
        elif path == "/breaks":
            self.set_header("Content-Length", "100")
            self.write(b"half")
            await self.flush()
            self.detach().close()
        elif path == "/nothing":
            self.set_status(204)
        elif path == "/page":
            self.set_header("Content-Type", "text/html")
            self.set_header("Content-Security-Policy", "default-src *")
            self.set_header("Set-Cookie", "a=b")
            self.write("<script>alert(1)</script>")
        else:
            self.write(
                {
                    "method": self.request.method,
                    "uri": self.request.uri,
                    "headers": sorted((name.lower(), value) for name, value in self.request.headers.get_all()),
                    "bytes": len(self.request.body),
                }
            )
            if path == "/":
                self.set_header("Content-Security-Policy", "default-src 'none'")
                self.set_header("Content-Type", "text/html")

    get = head = post = put = patch = delete = _any


@dataclass
class Echo:
    """The deployment `echo`."""

    token: str = ""
    go_on: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
def echo(store: Store, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Echo]:
    (listening,) = bind_sockets(0, "127.0.0.1", socket.AF_INET)
    echo = Echo()
    server = HTTPServer(web.Application([(".*", Everything)], echo=echo), max_body_size=MANY)

    async def start() -> None:
        server.add_socket(listening)

    jp_asyncio_loop.run_until_complete(start())
    port = listening.getsockname()[1]
    store.save_desired(Desired(name="echo", version=1, executable=sys.executable, port=port))
    echo.token = store.token("echo")
    yield echo
    server.stop()
    jp_asyncio_loop.run_until_complete(server.close_all_connections())


def arrived(answer: Any) -> dict[str, str]:
    assert answer.code == 200, answer.body
    return dict(json.loads(answer.body)["headers"])


# --- the deployment's token


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("who", ["program", "page"])
async def test_it_is_added_for_a_program_and_for_a_page_of_the_server(
    ask: Any, echo: Echo, who: str, method: str
) -> None:
    answer = await ask("proxy/echo/x", who=who, method=method, body=b"" if method == "POST" else None)
    assert arrived(answer)["authorization"] == f"Bearer {echo.token}"


async def test_it_is_added_for_jupyters_token_in_the_query_which_goes_no_further(
    ask: Any, echo: Echo, browser: Any
) -> None:
    token = (await browser.headers("program"))["Authorization"].removeprefix("token ")
    answer = await ask(f"proxy/echo/x?a=1&token={token}&b", who="nobody")
    assert arrived(answer)["authorization"] == f"Bearer {echo.token}"
    assert token not in answer.body.decode()
    assert json.loads(answer.body)["uri"] == "/x?a=1&b"


async def test_jupyters_token_as_a_bearer_goes_no_further_either(ask: Any, echo: Echo, browser: Any) -> None:
    token = (await browser.headers("program"))["Authorization"].removeprefix("token ")
    answer = await ask("proxy/echo/x", who="nobody", headers={"Authorization": f"Bearer {token}"})
    assert arrived(answer)["authorization"] == f"Bearer {echo.token}"
    assert token not in answer.body.decode()


async def test_it_is_not_added_to_a_cookie_alone(ask: Any, echo: Echo) -> None:
    assert "authorization" not in arrived(await ask("proxy/echo/x", who="cookie"))


async def test_it_is_enough_beside_the_cookie_where_it_comes_along(ask: Any, echo: Echo) -> None:
    headers = {"Authorization": f"bearer  {echo.token}"}
    answer = await ask("proxy/echo/x", who="cookie", method="POST", body=b"{}", headers=headers)
    assert arrived(answer)["authorization"] == f"Bearer {echo.token}"
    assert (await ask("proxy/echo/x", who="nobody", headers=headers)).code == 403


async def test_a_wrong_one_is_for_the_deployment_to_refuse(ask: Any, echo: Echo) -> None:
    headers = {"Authorization": "Bearer wrong"}
    assert arrived(await ask("proxy/echo/x", who="cookie", headers=headers))["authorization"] == "Bearer wrong"
    answer = await ask("proxy/echo/x", who="cookie", method="POST", body=b"{}", headers=headers)
    assert answer.code == 403
    other = await ask("proxy/echo/x", who="cookie", headers={"Authorization": "Basic eDp5"})
    assert "authorization" not in arrived(other)


async def test_an_older_token_is_as_good(ask: Any, echo: Echo, store: Store) -> None:
    new = store.rotate_token("echo", grace_s=60)
    headers = {"Authorization": f"Bearer {echo.token}"}
    answer = await ask("proxy/echo/x", who="cookie", method="POST", body=b"", headers=headers)
    assert arrived(answer)["authorization"] == f"Bearer {new}"
    store.rotate_token("echo")
    assert (await ask("proxy/echo/x", who="cookie", method="POST", body=b"", headers=headers)).code == 403


async def test_none_is_added_where_none_is_asked_for(ask: Any, echo: Echo, store: Store) -> None:
    store.save_desired(msgspec.structs.replace(store.desired("echo"), auth=False))
    assert "authorization" not in arrived(await ask("proxy/echo/x", who="program"))
    assert "authorization" not in arrived(await ask("proxy/echo/x", method="POST", body=b""))
    assert (await ask("proxy/echo/x", who="cookie", method="POST", body=b"")).code == 403


@pytest.mark.parametrize(
    ("site", "mode", "code"),
    [
        ("cross-site", "no-cors", 403),
        ("same-site", "cors", 403),
        ("cross-site", "navigate", 200),
        ("same-origin", "cors", 200),
        ("none", "navigate", 200),
    ],
)
async def test_a_page_of_another_site_makes_no_use_of_the_cookie(
    ask: Any, echo: Echo, site: str, mode: str, code: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert (await ask("proxy/echo/x", who="cookie", headers=headers)).code == code


# --- there


async def test_the_request_arrives_as_it_was_sent_without_what_is_jupyters(ask: Any, echo: Echo) -> None:
    headers = {"Accept": "x/y", "Content-Type": "a/b", "X-Mine": "1"}
    answer = await ask("proxy/echo/a%2Fb/%20c?x=%20&y", method="PUT", body=b"12345", headers=headers)
    found = json.loads(answer.body)
    assert (found["method"], found["uri"], found["bytes"]) == ("PUT", "/a%2Fb/%20c?x=%20&y", 5)
    assert {"accept": "x/y", "content-type": "a/b", "x-mine": "1", "content-length": "5"}.items() <= arrived(
        answer
    ).items()
    for name in ("cookie", "x-xsrftoken", "origin", "referer"):
        assert name not in arrived(answer)
    assert arrived(answer)["host"].startswith("127.0.0.1:")


async def test_a_large_body_is_streamed_and_needs_no_length(ask: Any, echo: Echo) -> None:
    assert json.loads((await ask("proxy/echo/x", method="POST", body=b"x" * MANY)).body)["bytes"] == MANY

    async def produce(write: Any) -> None:
        for _ in range(30):
            await write(b"x" * (MANY // 30))

    answer = await ask("proxy/echo/x", method="POST", body_producer=produce)
    assert json.loads(answer.body)["bytes"] == MANY


# --- and back


async def test_an_answer_is_streamed_as_it_comes(ask: Any, echo: Echo) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()
    asking = asyncio.ensure_future(ask("proxy/echo/stream", streaming_callback=came.put_nowait))
    for number in range(3):
        assert await asyncio.wait_for(came.get(), 10) == f"data: {number}\n\n".encode()
        assert not asking.done()
        echo.go_on.put_nowait(None)
    answer = await asking
    assert answer.headers["Content-Type"] == "text/event-stream"


async def test_a_large_answer(ask: Any, echo: Echo) -> None:
    assert len((await ask("proxy/echo/large")).body) == MANY


async def test_heads_and_answers_without_a_body(ask: Any, echo: Echo) -> None:
    direct = await ask("proxy/echo/x")
    head = await ask("proxy/echo/x", method="HEAD")
    assert (head.code, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0
    assert direct.headers["Content-Type"] == head.headers["Content-Type"]
    assert (await ask("proxy/echo/nothing", method="DELETE")).code == 204


async def test_an_answer_that_breaks_off_breaks_off(ask: Any, echo: Echo) -> None:
    with pytest.raises(HTTPStreamClosedError):
        await ask("proxy/echo/breaks")
    answer = await ask("proxy/echo/dies", method="POST", body=b"{}")
    assert answer.code == 503
    assert "send the request again" in json.loads(answer.body)["fix"]


async def test_a_page_that_goes_ends_the_exchange(
    browser: Any, echo: Echo, jp_http_port: int, jp_base_url: str
) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in (await browser.headers("program")).items())
    reader, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
    writer.write(f"GET {jp_base_url}autodeploy/proxy/echo/stream HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    await asyncio.wait_for(reader.readuntil(b"data: 0"), 10)
    assert not echo.left.is_set()
    writer.close()
    await asyncio.wait_for(echo.left.wait(), 10)


@pytest.mark.parametrize(("to", "inside"), [("/x?a=1", "/x?a=1"), ("https://elsewhere.example/", None)])
async def test_redirects_stay_below(ask: Any, echo: Echo, jp_base_url: str, to: str, inside: str | None) -> None:
    answer = await ask(f"proxy/echo/elsewhere?to={to}", method="POST", body=b"")
    assert answer.code == 307
    assert answer.headers.get("Location") == (f"{jp_base_url}autodeploy/proxy/echo{inside}" if inside else None)


async def test_pages_of_a_deployment_have_no_rights_here_but_for_the_try_it_page(ask: Any, echo: Echo) -> None:
    answer = await ask("proxy/echo/page")
    policies = answer.headers.get_list("Content-Security-Policy")
    assert any(policy.startswith("sandbox") and "allow-same-origin" not in policy for policy in policies)
    assert "default-src *" in policies
    assert "Set-Cookie" not in answer.headers
    tryit = await ask("proxy/echo/")
    assert tryit.headers.get_list("Content-Security-Policy")[1:] == ["default-src 'none'"]


async def test_the_try_it_page_comes_with_what_it_shows_itself_by(ask: Any, echo: Echo, browser: Any) -> None:
    login = (await browser.headers("cookie"))["Cookie"].partition("; _xsrf")[0]
    answer = await ask("proxy/echo/", who="nobody", headers={"Cookie": login})
    assert any("_xsrf=" in cookie for cookie in answer.headers.get_list("Set-Cookie"))


@pytest.mark.parametrize("query", ["", "?a=1"])
async def test_the_slash_that_the_page_needs(ask: Any, echo: Echo, jp_base_url: str, query: str) -> None:
    answer = await ask(f"proxy/echo{query}")
    assert answer.code == 302
    assert answer.headers["Location"] == f"{jp_base_url}autodeploy/proxy/echo/{query}"


# --- where there is nobody


@pytest.mark.parametrize("path", ["proxy/", "proxy/iris/", "proxy/Iris/", "proxy/..%2Fx/", "proxy/ech%6F/"])
async def test_what_is_no_deployment(ask: Any, echo: Echo, path: str) -> None:
    answer = await ask(path)
    assert answer.code == 404
    assert json.loads(answer.body)["fix"]


async def test_one_that_is_stopped_or_was_never_started(ask: Any, echo: Echo, store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for port_now, why in ((port, "ConnectionRefusedError"), (0, "not been started")):
        store.save_desired(msgspec.structs.replace(store.desired("echo"), port=port_now))
        answer = await ask("proxy/echo/predict", method="POST", body=b"{}")
        assert answer.code == 503
        found = json.loads(answer.body)
        assert found["error"] == "Unavailable"
        assert why in found["why"]
        assert "%deploy status echo" in found["fix"]
