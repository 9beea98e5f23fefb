"""HTTP as it should not be, and as it may be: raw bytes, and what any correct server makes of them.

Sources: RFC 9110 and 9112 for what must be refused; the smuggling techniques are those of J. Kettle's "HTTP desync
attacks" and of the test suites of h2spec's and llhttp's authors.
"""

from __future__ import annotations

from typing import NamedTuple

from workers import TOKEN

__all__ = ["CASES", "PREDICT", "REFUSED", "SMUGGLED", "Case", "get", "post"]

_AUTH = f"host: 127.0.0.1\r\nauthorization: Bearer {TOKEN}\r\n".encode()
_ROWS = b'{"inputs": [[5.1, 3.5, 1.4, 0.2]]}'
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + _AUTH + b"\r\n"
REFUSED = "refused"
"""One refusal (4xx, or 501 and 505), or none, and the connection is closed: nothing after it is answered."""


class Case(NamedTuple):
    """Bytes, and the statuses of their answers in order; or `REFUSED`, which holds for what comes after some answers.

    `or_refused` says that a server may also refuse, `or_else` what else it may answer: RFC 9112 leaves it the choice.
    """

    raw: bytes
    wanted: tuple[int, ...] | str
    or_refused: bool = False
    or_else: tuple[int, ...] = ()


def get(path: str = "/livez", *headers: str, version: str = "1.1") -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"GET {path} HTTP/{version}\r\n".encode() + _AUTH + lines.encode("latin-1") + b"\r\n"


def post(body: bytes = _ROWS, *headers: str, path: str = "/predict", length: bool = True) -> bytes:
    lines = "".join(f"{header}\r\n" for header in (*headers, *([f"content-length: {len(body)}"] if length else [])))
    head = f"POST {path} HTTP/1.1\r\n".encode() + _AUTH + b"content-type: application/json\r\n"
    return head + lines.encode("latin-1") + b"\r\n" + body


def chunked(*sizes_and_data: bytes, headers: tuple[str, ...] = ("transfer-encoding: chunked",)) -> bytes:
    return post(b"".join(sizes_and_data), *headers, length=False)


def line(raw: bytes) -> bytes:
    """A request whose first line, or more of it, is given."""
    return raw + b"\r\n" + _AUTH + b"\r\n"


PREDICT = post()
SIZE = f"{len(_ROWS):x}".encode()
WHOLE = (SIZE + b"\r\n", _ROWS + b"\r\n", b"0\r\n\r\n")
CL = f"content-length: {len(_ROWS)}"

LENGTHS: dict[str, Case] = {
    f"content-length {value!r}": Case(post(_ROWS + SMUGGLED, f"content-length: {value}", length=False), REFUSED)
    for value in (
        "-1",
        "+34",
        "0x22",
        "34.0",
        "",
        " ",
        "3 4",
        "34;",
        "1e1",
        "\xb3",
        "99999999999999999999",
        "18446744073709551650",
    )
} | {
    "content-length larger than any body": Case(post(b"", "content-length: 10000000000", length=False), (413,)),
    "two lengths that differ": Case(post(_ROWS, "content-length: 5", CL, length=False), REFUSED),
    "two lengths that differ, the other way": Case(post(_ROWS, CL, "content-length: 5", length=False), REFUSED),
    "two lengths in one that differ": Case(post(_ROWS, "content-length: 5, 34", length=False), REFUSED),
    "two lengths that agree": Case(post(_ROWS, CL, CL, length=False), (200,), or_refused=True),
    "two lengths in one that agree": Case(post(_ROWS, f"{CL}, {len(_ROWS)}", length=False), (200,), or_refused=True),
    "a length with zeros before it": Case(post(_ROWS, f"content-length: 000{len(_ROWS)}", length=False), (200,), True),
    "a body of a GET": Case(
        get("/livez", "content-length: 3").replace(b"\r\n\r\n", b"\r\n\r\nabc"), (200,), or_refused=True
    ),
    "a length of nothing": Case(post(b""), (422,)),
    "no length at all": Case(post(b"", length=False), (422,)),
}

BOTH = "content-length: 5", "transfer-encoding: chunked"
SMUGGLING: dict[str, Case] = {
    "a length and chunks": Case(chunked(b"0\r\n\r\n", SMUGGLED, headers=BOTH), REFUSED),
    "chunks and a length": Case(chunked(b"0\r\n\r\n", SMUGGLED, headers=BOTH[::-1]), REFUSED),
    "chunks, and a length of all": Case(chunked(*WHOLE, headers=(BOTH[1], "content-length: 45")), REFUSED),
    **{
        f"transfer-encoding {value!r}": Case(
            chunked(b"0\r\n\r\n", SMUGGLED, headers=(f"transfer-encoding: {value}",)), REFUSED
        )
        for value in (
            "xchunked",
            "chunked, identity",
            "identity",
            "gzip",
            "chunked, gzip",
            "chunke",
            "chunked\x0b",
            ",",
        )
    },
    **{
        f"transfer-encoding {value!r} and a length": Case(
            chunked(b"0\r\n\r\n", SMUGGLED, headers=(f"transfer-encoding: {value}", "content-length: 5")), REFUSED
        )
        for value in ("xchunked", "identity", "chunked ", "\tchunked", "CHUNKED", "chunked, chunked", '"chunked"', "")
    },
    "a name with a space after it": Case(chunked(*WHOLE, headers=("transfer-encoding : chunked", CL)), REFUSED),
    "a length with a space after its name": Case(post(_ROWS, "content-length : 34", length=False), REFUSED),
    "a folded transfer-encoding": Case(chunked(*WHOLE, headers=("transfer-encoding:\r\n chunked", CL)), REFUSED),
    "two transfer-encodings": Case(
        chunked(b"0\r\n\r\n", SMUGGLED, headers=("transfer-encoding: chunked", "transfer-encoding: identity")), REFUSED
    ),
    "chunks by HTTP/1.0": Case(chunked(*WHOLE).replace(b"HTTP/1.1", b"HTTP/1.0"), (200,), or_refused=True),
    "chunked in capitals": Case(chunked(*WHOLE, headers=("Transfer-Encoding: Chunked",)), (200,)),
    "a header after a bare carriage return": Case(post(_ROWS, "x: y\rtransfer-encoding: chunked"), REFUSED),
    "a header after a bare line feed": Case(
        post(b"0\r\n\r\n" + SMUGGLED, "x: y\ntransfer-encoding: chunked", "content-length: 5", length=False), REFUSED
    ),
}

CHUNKS: dict[str, Case] = {
    "one chunk": Case(chunked(*WHOLE), (200,)),
    "a chunk for each byte": Case(chunked(*(b"1\r\n%c\r\n" % byte for byte in _ROWS), b"0\r\n\r\n"), (200,)),
    "zeros before a size": Case(chunked(b"0000" + SIZE + b"\r\n", *WHOLE[1:]), (200,)),
    "an extension": Case(chunked(SIZE + b';name=value;other="a b"\r\n', *WHOLE[1:]), (200,)),
    "a trailer": Case(chunked(*WHOLE[:2], b"0\r\nx-checked: yes\r\n\r\n"), (200,)),
    "a trailer that would be a length": Case(
        chunked(*WHOLE[:2], b"0\r\ncontent-length: 9\r\n\r\n"), (200,), or_refused=True
    ),
    "a trailer without a name": Case(chunked(*WHOLE[:2], b"0\r\n: x\r\n\r\n"), REFUSED),
    "no chunk but the last": Case(chunked(b"0\r\n\r\n"), (422,)),
    **{
        f"a chunk size {size!r}": Case(chunked(size + b"\r\n", *WHOLE[1:], SMUGGLED), REFUSED)
        for size in (
            b"g",
            b"-1",
            b"+22",
            b"0x22",
            b"",
            b" 22",
            b"22 2",
            b";",
            b"fffffffffffffffff",
            b"10000000000000022",
            b"\x00",
        )
    },
    "a chunk longer than its size": Case(chunked(b"5\r\n", *WHOLE[1:], SMUGGLED), REFUSED),
    "a chunk without its end": Case(chunked(SIZE + b"\r\n", _ROWS, b"0\r\n\r\n", SMUGGLED), REFUSED),
    "a line feed in an extension": Case(chunked(SIZE + b";a=\nb\r\n", *WHOLE[1:], SMUGGLED), REFUSED),
    "a size larger than any body": Case(chunked(b"7fffffffffffff\r\n", *WHOLE[1:]), REFUSED),
}

HEADS: dict[str, Case] = {
    **{
        f"{what!r} in a header's value": Case(get("/livez", f"x-odd: a{what}b"), REFUSED)
        for what in ("\x00", "\r", "\x01", "\x7f", "\x1b")
    },
    **{
        f"{what!r} in a header's name": Case(get("/livez", f"x{what}odd: 1"), REFUSED)
        for what in ("\x00", " ", "\x01", "\x7f", "(", "\xe9", "\t", '"')
    },
    "a header without a name": Case(get("/livez", ": x"), REFUSED),
    "a header without a colon": Case(get("/livez", "nothing"), REFUSED),
    "a folded header": Case(get("/livez", "x-long: a\r\n b"), (200,), or_refused=True),
    "a fold before the first header": Case(b"GET /livez HTTP/1.1\r\n x: y\r\n" + _AUTH + b"\r\n", REFUSED),
    "bytes above ASCII in a value": Case(get("/livez", "x-name: \xe9\xff"), (200,), or_refused=True),
    "lines that end in a bare line feed": Case(get().replace(b"\r\n", b"\n"), (200,), or_refused=True),
    "an empty line before": Case(b"\r\n" + get(), (200,)),
    "no host": Case(b"GET /livez HTTP/1.1\r\n\r\n", (400,), or_refused=True, or_else=(421,)),
    "two hosts": Case(get("/livez", "host: example.org"), (400,), or_refused=True, or_else=(421,)),
    "no host by HTTP/1.0": Case(b"GET /livez HTTP/1.0\r\n\r\n", (200,)),
    "a thousand headers": Case(get("/livez", *(f"x-{i}: {i}" for i in range(1000))), (200,), or_refused=True),
    "a head of 600 KiB": Case(get("/livez", *(f"x-{i}: {'y' * 1000}" for i in range(600))), REFUSED),
    "a header of 600 KiB": Case(get("/livez", f"x: {'y' * 600_000}"), REFUSED),
    "a path of 20 KiB": Case(get("/" + "p" * 20_000), (404,), or_refused=True),
    "a path of 600 KiB": Case(get("/" + "p" * 600_000), REFUSED),
    "a query of 20 KiB": Case(get("/livez?" + "q" * 20_000), (200,), or_refused=True),
}

LINES: dict[str, Case] = {
    "absolute-form": Case(line(b"GET http://127.0.0.1/livez HTTP/1.1"), (200,), or_else=(404,)),
    "absolute-form of another scheme": Case(line(b"GET file:///etc/passwd HTTP/1.1"), (404,), or_refused=True),
    "asterisk-form": Case(line(b"OPTIONS * HTTP/1.1"), (200,), or_refused=True, or_else=(404,)),
    "authority-form": Case(line(b"CONNECT 127.0.0.1:22 HTTP/1.1") + SMUGGLED, REFUSED),
    "TRACE": Case(line(b"TRACE /livez HTTP/1.1"), (405,), or_refused=True),
    "TRACE of nothing": Case(line(b"TRACE /x HTTP/1.1"), (404,), or_refused=True),
    "a method in small letters": Case(line(b"get /livez HTTP/1.1"), REFUSED),
    "a method that there is not": Case(line(b"BREW /livez HTTP/1.1"), REFUSED),
    "HTTP/0.9": Case(b"GET /livez\r\n", REFUSED),
    "no version": Case(line(b"GET /livez "), REFUSED),
    "HTTP/1.2": Case(line(b"GET /livez HTTP/1.2"), (200,), or_refused=True),
    "HTTP/2.0": Case(line(b"GET /livez HTTP/2.0"), REFUSED),
    "HTTP/9.9": Case(line(b"GET /livez HTTP/9.9"), REFUSED),
    "HTTP/1.10": Case(line(b"GET /livez HTTP/1.10"), REFUSED),
    "another protocol": Case(line(b"GET /livez HTTQ/1.1"), REFUSED),
    "no path": Case(line(b"GET HTTP/1.1"), REFUSED),
    "a path without a slash": Case(line(b"GET livez HTTP/1.1"), (404,), or_refused=True),
    "a space in the path": Case(line(b"GET /li vez HTTP/1.1"), REFUSED),
    "NUL in the path": Case(line(b"GET /livez\x00 HTTP/1.1"), REFUSED),
    "a tab in the path": Case(line(b"GET /livez\tx HTTP/1.1"), REFUSED),
    "bytes above ASCII in the path": Case(line(b"GET /\xff\xfe HTTP/1.1"), (404,), or_refused=True),
    "a path that is not UTF-8": Case(get("/%ff%fe"), (404,), or_refused=True),
    "a path with NUL, encoded": Case(get("/livez%00"), (404,)),
    "a path with dots": Case(get("/../livez"), (404,)),
    "a fragment": Case(line(b"GET /livez#x HTTP/1.1"), (200,), or_refused=True, or_else=(404,)),
    "two slashes": Case(get("//livez"), (404,)),
    "HTTP/2's preface": Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", REFUSED),
    "TLS's hello": Case(bytes.fromhex("16030100c8010000c40303") + bytes(range(64)), REFUSED),
    "SSH": Case(b"SSH-2.0-OpenSSH_9.2p1\r\n", REFUSED),
    "Redis": Case(b"*1\r\n$4\r\nPING\r\n", REFUSED),
    "zeros": Case(b"\x00" * 100, REFUSED),
}

PIPELINES: dict[str, Case] = {
    "gets": Case(get() + get("/x1") + get("/readyz"), (200, 404, 200)),
    "predictions and others": Case(PREDICT + get() + PREDICT + get("/x2") + PREDICT, (200, 200, 200, 404, 200)),
    "bodies of every kind": Case(PREDICT + chunked(*WHOLE) + post(b"[]") + PREDICT, (200, 200, 422, 200)),
    "refusals among answers": Case(
        PREDICT + post(path="/nothing") + get("/predict") + post(b"{", "x: y") + PREDICT, (200, 404, 405, 422, 200)
    ),
    "a refused body is read over": Case(
        PREDICT.replace(b"application/json", b"text/plain") + PREDICT, (415, 200), or_refused=True
    ),
    "a bad one after good ones": Case(PREDICT + get() + line(b"BREW / HTTP/1.1") + SMUGGLED, REFUSED),
    "close among them": Case(PREDICT + get("/livez", "connection: close") + SMUGGLED, (200, 200)),
    "HEAD among them": Case(get() + get().replace(b"GET", b"HEAD") + get("/x3"), (200, 200, 404)),
    "a hundred": Case((PREDICT + get()) * 50, (200, 200) * 50),
    "a wrong token among them": Case(PREDICT + PREDICT.replace(TOKEN.encode(), b"wrong") + PREDICT, (200, 401, 200)),
}

CONNECTIONS: dict[str, Case] = {
    "HTTP/1.0 closes": Case(get(version="1.0") + SMUGGLED, (200,)),
    "HTTP/1.0 that is to be kept": Case(get("/livez", "connection: keep-alive", version="1.0"), (200,)),
    "close": Case(get("/livez", "Connection: CLOSE") + SMUGGLED, (200,)),
    "close among options": Case(get("/livez", "connection: keep-alive, close") + SMUGGLED, (200,)),
    "a websocket": Case(
        get(
            "/livez",
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: eA==",
        ),
        (200,),
        or_refused=True,
    ),
    "h2c": Case(
        get("/livez", "connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAA"), (200,), True
    ),
    "an upgrade of a request with a body": Case(
        post(_ROWS, "connection: upgrade", "upgrade: h2c"), (200,), or_refused=True
    ),
    "expect, with the body at once": Case(post(_ROWS, "expect: 100-continue"), (100, 200), or_refused=True),
    "expect, in a GET": Case(get("/livez", "expect: 100-continue"), (200,), or_else=(100, 200)),
    "an expectation that there is not": Case(post(_ROWS, "expect: 200-maybe"), (200,), or_refused=True),
}

CASES: dict[str, Case] = {
    f"{name}: {case}": found
    for name, table in (
        ("length", LENGTHS),
        ("smuggling", SMUGGLING),
        ("chunks", CHUNKS),
        ("head", HEADS),
        ("line", LINES),
        ("pipeline", PIPELINES),
        ("connection", CONNECTIONS),
    )
    for case, found in table.items()
}
