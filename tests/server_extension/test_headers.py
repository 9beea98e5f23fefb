"""What passes the proxy of a request's and of an answer's headers."""

from __future__ import annotations

import pytest
from tornado.httputil import HTTPHeaders

from autodeploy_magic.address import Address
from autodeploy_magic.server_extension.headers import to_browser, to_deployment, without_ours

ADDRESS = Address("http", "127.0.0.1", "127.0.0.1", 3131)
PREFIX = "/user/ada/autodeploy/proxy/iris"


def test_what_is_jupyters_never_reaches_a_deployment() -> None:
    sent = HTTPHeaders(
        {
            "Authorization": "token jupyters",
            "Connection": "keep-alive, x-of-this-hop",
            "Content-Length": "3",
            "Cookie": "username-localhost=ada",
            "Expect": "100-continue",
            "Host": "hub.example",
            "Origin": "https://hub.example",
            "Proxy-Authorization": "Basic x",
            "Referer": "https://hub.example/lab?token=jupyters",
            "Sec-Fetch-Site": "same-origin",
            "TE": "trailers",
            "Upgrade": "h2c",
            "X-Of-This-Hop": "1",
            "X-XSRFToken": "x",
        }
    )
    sent.add("Accept", "text/html")
    sent.add("X-Request-Id", "a")
    sent.add("X-Request-Id", "b")
    found = to_deployment(sent, ADDRESS, "Bearer its", body=True)
    assert sorted(found.get_all()) == [
        ("Accept", "text/html"),
        ("Authorization", "Bearer its"),
        ("Connection", "close"),
        ("Content-Length", "3"),
        ("Host", "127.0.0.1:3131"),
        ("X-Request-Id", "a"),
        ("X-Request-Id", "b"),
    ]


@pytest.mark.parametrize(
    ("sent", "body", "expected"),
    [
        ({}, False, None),
        ({}, True, "0"),
        ({"Content-Length": "7"}, False, "7"),
        ({"Transfer-Encoding": "chunked"}, True, None),
        ({"Transfer-Encoding": "chunked", "Content-Length": "7"}, True, None),  # which is smuggling
    ],
)
def test_one_length_and_no_more(sent: dict[str, str], body: bool, expected: str | None) -> None:
    found = to_deployment(HTTPHeaders(sent), ADDRESS, "", body=body)
    assert found.get("Content-Length") == expected
    assert "Transfer-Encoding" not in found
    assert "Authorization" not in found


def test_what_would_hold_for_the_whole_server_never_reaches_the_browser() -> None:
    answered = HTTPHeaders(
        {
            "Access-Control-Allow-Origin": "*",
            "Clear-Site-Data": '"cookies"',
            "Connection": "close, x-of-this-hop",
            "Content-Type": "application/json",
            "Keep-Alive": "1",
            "Refresh": "0;url=https://elsewhere.example",
            "Server": "x",
            "Service-Worker-Allowed": "/",
            "Set-Cookie": "username-localhost=eve",
            "Strict-Transport-Security": "max-age=1",
            "Transfer-Encoding": "chunked",
            "X-Of-This-Hop": "1",
            "X-Request-Id": "a",
        }
    )
    found = list(to_browser(answered, ADDRESS, "/", PREFIX))
    assert sorted(found) == [("Content-Type", "application/json"), ("X-Request-Id", "a")]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/docs.json", "/docs.json"),
        ("docs.json?a=1#b", "/deep/docs.json?a=1#b"),
        ("../x", "/x"),
        ("../../../../tree", "/tree"),
        ("/../../tree", "/tree"),
        ("/a/%2e%2E/%2e%2e/tree", "/tree"),
        ("\\..\\..\\tree", "/tree"),
        ("http://127.0.0.1:3131/x", "/x"),
        ("http://127.0.0.1:3131", "/"),
        ("http://127.0.0.1:3131/../../../tree", "/tree"),
        ("?a=1", "/deep/page?a=1"),
        ("http://127.0.0.1:31310/x", None),
        ("https://127.0.0.1:3131/x", None),
        ("https://elsewhere.example/", None),
        ("//elsewhere.example/", None),
        ("/\\elsewhere.example/", None),
        ("javascript:alert(1)", None),
        ("http://127.0.0.1:3131@elsewhere.example/", None),
    ],
)
def test_redirects_stay_with_the_deployment(location: str, expected: str | None) -> None:
    found = dict(to_browser(HTTPHeaders({"Location": location}), ADDRESS, "/deep/page", PREFIX))
    assert found == ({} if expected is None else {"Location": PREFIX + expected})


def test_parameters_of_jupyter_are_left_out_and_the_others_stay_as_they_were() -> None:
    assert without_ours("token=x&a=%20b&&_xsrf=1&c&no_track_activity=1&token&%74oken=x") == "a=%20b&c"
    assert without_ours("tokens=x&my_token=y") == "tokens=x&my_token=y"
    assert without_ours("") == ""
