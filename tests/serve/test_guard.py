"""Who may ask: tokens, hosts, and pages of other origins."""

from __future__ import annotations

import hmac

import pytest

from autodeploy_magic.errors import Forbidden, InvalidOption, Misdirected, Unauthorized
from autodeploy_magic.serve.http import guard as module
from autodeploy_magic.serve.http.guard import Guard

OLD, NEW = "the-old-token", "the-new-token"


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


def host(name: str) -> dict[bytes, bytes]:
    return {b"host": name.encode("latin-1")}


# --- tokens


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_every_token_of_several_is_good(scheme: str) -> None:
    guard = Guard(tokens=[NEW, OLD])
    assert guard.asks
    for token in (NEW, OLD):
        guard.authorize({b"authorization": f"{scheme}{token}".encode()})


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        f"Bearer {NEW}x".encode(),
        f"Bearer {NEW[:-1]}".encode(),
        NEW.encode(),
        f"Basic {NEW}".encode(),
        f"Bearer {NEW}, Bearer {NEW}".encode(),  # the header came twice
        b"Bearer \xff\x00",
    ],
)
def test_anything_else_is_refused(given: bytes) -> None:
    with pytest.raises(Unauthorized, match="missing or wrong") as caught:
        Guard(tokens=[NEW]).authorize({b"authorization": given})
    assert NEW not in str(caught.value)


def test_no_header_is_refused() -> None:
    with pytest.raises(Unauthorized):
        Guard(tokens=[NEW]).authorize({})


def test_a_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(module, "compare_digest", compare)
    guard = Guard(tokens=[NEW, OLD])
    guard.authorize(bearer(OLD))
    with pytest.raises(Unauthorized):
        guard.authorize(bearer("wrong"))
    wrong = [b for a, b in compared if a == b"Bearer wrong"]
    assert {f"Bearer {NEW}".encode(), f"Bearer {OLD}".encode()} <= set(wrong)


def test_without_tokens_none_is_asked_for() -> None:
    guard = Guard(tokens=[])
    assert not guard.asks
    guard.authorize({})
    guard.authorize(bearer("anything"))


def test_without_tokens_no_page_of_another_origin_gets_in() -> None:
    guard = Guard(tokens=[], origins="https://app.example.org")
    guard.authorize({b"origin": b"http://127.0.0.1:8000", b"host": b"127.0.0.1:8000"})
    guard.authorize({b"origin": b"https://app.example.org", b"host": b"127.0.0.1:8000"})
    for origin in (b"https://evil.example", b"null", b"", b"http://127.0.0.1:9000"):
        with pytest.raises(Forbidden, match="may not call"):
            guard.authorize({b"origin": origin, b"host": b"127.0.0.1:8000"})
    Guard(tokens=[], origins="*").authorize({b"origin": b"https://evil.example", b"host": b"127.0.0.1:8000"})
    Guard(tokens=[NEW]).authorize(bearer(NEW) | {b"origin": b"https://evil.example"})  # it knows the token


def test_an_empty_token_is_never_taken() -> None:
    with pytest.raises(ValueError, match="empty token"):
        Guard(tokens=[""])
    guard = Guard(tokens=[NEW])
    with pytest.raises(ValueError, match="empty token"):
        guard.tokens = [NEW, ""]
    assert guard.tokens == (NEW,)


def test_rotation() -> None:
    guard = Guard(tokens=[OLD])
    guard.authorize(bearer(OLD))
    guard.tokens = [NEW, OLD]
    guard.authorize(bearer(OLD))
    guard.authorize(bearer(NEW))
    guard.tokens = [NEW]
    with pytest.raises(Unauthorized):
        guard.authorize(bearer(OLD))


def test_an_unknown_token_is_looked_at_again_once_the_tokens_were_read_anew() -> None:
    guard = Guard(tokens=[OLD])
    asked: list[str] = []

    def unknown() -> None:
        asked.append("asked")
        guard.tokens = [NEW]

    guard.unknown = unknown
    guard.authorize(bearer(OLD))
    assert not asked
    guard.authorize(bearer(NEW))
    assert len(asked) == 1
    with pytest.raises(Unauthorized):
        guard.authorize(bearer("wrong"))


# --- hosts

NAMED_LOCALLY = [
    "127.0.0.1",
    "127.0.0.1:20001",
    "10.1.2.3:80",
    "[::1]",
    "[::1]:20001",
    "[FE80::1%25eth0]:1",
    "localhost",
    "LocalHost:8000",
    "localhost.",
    "localhost.:8000",
    "iris.localhost:8000",
]
ELSEWHERE = [
    "",
    "evil.example",
    "evil.example:20001",
    "localhost.evil.example",
    "notlocalhost",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "evil.example@127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "::1",
    "[127.0.0.1]",
    "[::1",
    "::1]",
    "127.0.0.1:port",
    "127.0.0.1/x",
    "127.0.0.1, evil.example",  # the header came twice
    "evil.example,127.0.0.1",
    "127.0.0.1,127.0.0.1",
    "127.0.0.1 evil.example",
    "127.0.0.\xb9",
]


@pytest.mark.parametrize("name", NAMED_LOCALLY)
def test_addresses_and_localhost_pass(name: str) -> None:
    guard = Guard(tokens=[])
    guard.check_host(host(name))
    guard.check_host(host(name))  # remembered


@pytest.mark.parametrize("name", ELSEWHERE)
def test_every_other_host_is_misdirected(name: str) -> None:
    guard = Guard(tokens=[])
    for _ in range(2):
        with pytest.raises(Misdirected) as caught:
            guard.check_host(host(name))
    assert "AUTODEPLOY_HOSTS" in caught.value.fix
    assert caught.value.status == 421


def test_the_setting_lists_more_hosts() -> None:
    guard = Guard(tokens=[], hosts="models.Example.org, *.example.net:443,")
    for name in ("models.example.org", "MODELS.example.org:8443", "a.example.net", "a.b.example.net.", "127.0.0.1"):
        guard.check_host(host(name))
    for name in ("example.org", "x.models.example.org", "example.net", "evilexample.net", "evil.example"):
        with pytest.raises(Misdirected):
            guard.check_host(host(name))


def test_a_star_lets_any_one_host_pass() -> None:
    guard = Guard(tokens=[], hosts="*")
    guard.check_host(host("whatever.example:1"))
    for name in ("", "a.example,b.example", "a@b"):
        with pytest.raises(Misdirected):
            guard.check_host(host(name))


@pytest.mark.parametrize("hosts", ["https://a.example", "a b", "a/b", "*a.example", "a.*.example", "::1"])
def test_what_no_request_can_name_is_said_at_once(hosts: str) -> None:
    with pytest.raises(InvalidOption, match="AUTODEPLOY_HOSTS"):
        Guard(tokens=[], hosts=hosts)


def test_only_http_1_0_may_name_no_host() -> None:
    guard = Guard(tokens=[])
    guard.check_host({}, http_version="1.0")
    with pytest.raises(Misdirected):
        guard.check_host({})
    with pytest.raises(Misdirected):
        guard.check_host(host("evil.example"), http_version="1.0")


def test_hosts_that_keep_changing_fill_no_memory() -> None:
    guard = Guard(tokens=[])
    for i in range(1000):
        guard.check_host(host(f"n{i}.localhost"))
    assert len(guard._good_hosts) <= 16


# --- pages of other origins

PAGE = "https://app.example.org"


def asking(origin: str, method: str = "POST") -> dict[bytes, bytes]:
    return {b"origin": origin.encode(), b"access-control-request-method": method.encode()}


def test_cors_is_closed() -> None:
    guard = Guard(tokens=[NEW])
    assert guard.cors({b"origin": PAGE.encode()}) == ()
    assert guard.preflight("OPTIONS", asking(PAGE)) is None


def test_a_listed_origin_may_read_answers() -> None:
    guard = Guard(tokens=[NEW], origins=f"{PAGE}/ , http://localhost:3000")
    for origin in (PAGE, "http://localhost:3000"):
        headers = dict(guard.cors({b"origin": origin.encode()}))
        assert headers == {
            b"access-control-allow-origin": origin.encode(),
            b"access-control-expose-headers": b"x-request-id",
            b"vary": b"origin",
        }


@pytest.mark.parametrize("origin", ["https://app.example.org.evil.example", "http://app.example.org", "null", ""])
def test_another_origin_may_not(origin: str) -> None:
    guard = Guard(tokens=[NEW], origins=PAGE)
    assert dict(guard.cors({b"origin": origin.encode()})) == {b"vary": b"origin"}
    assert dict(guard.cors({})) == {b"vary": b"origin"}
    assert guard.preflight("OPTIONS", asking(origin)) is None


def test_a_star_opens_it_for_every_page_but_never_with_cookies() -> None:
    guard = Guard(tokens=[NEW], origins="*")
    assert dict(guard.cors({b"origin": b"null"}))[b"access-control-allow-origin"] == b"*"
    answer = guard.preflight("OPTIONS", asking("null"))
    assert answer is not None
    assert b"access-control-allow-credentials" not in dict([*answer.headers, *guard.cors({})])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_preflight_of_a_listed_origin(method: str) -> None:
    guard = Guard(tokens=[NEW], origins=PAGE)
    answer = guard.preflight("OPTIONS", asking(PAGE, method))
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"")
    headers = dict(answer.headers)
    assert headers[b"access-control-allow-methods"] == b"GET, POST"
    allowed = headers[b"access-control-allow-headers"].split(b", ")
    assert {b"authorization", b"content-type", b"inference-header-content-length"} <= set(allowed)


def test_what_is_no_preflight_is_not_answered_as_one() -> None:
    guard = Guard(tokens=[NEW], origins=PAGE)
    assert guard.preflight("POST", asking(PAGE)) is None
    assert guard.preflight("OPTIONS", {b"origin": PAGE.encode()}) is None
    assert guard.preflight("OPTIONS", {b"access-control-request-method": b"POST"}) is None
    assert guard.preflight("OPTIONS", asking(PAGE, "DELETE")) is None


@pytest.mark.parametrize("origins", ["app.example.org", "https://a.example/path", "https://*.example.org"])
def test_what_is_no_origin_is_said_at_once(origins: str) -> None:
    with pytest.raises(InvalidOption, match="AUTODEPLOY_ORIGINS"):
        Guard(tokens=[], origins=origins)
