"""A real worker on a real socket, and bytes that are no good: it lives, and answers each request once, as its own."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from framing import CASES, PREDICT, REFUSED, SMUGGLED, Case, get, post
from hypothesis import given, settings
from hypothesis import strategies as st
from versions import X, write_version
from workers import TOKEN, WAIT_S, Started

GROWTH_BYTES = 64 * 1024 * 1024
END = get("/the-end", "connection: close")
"""What is sent last: its answer shows that all before it was read as it was meant."""


@dataclass
class Answered:
    """One answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, classifier: Any) -> Iterator[Started]:
    """One worker for all: what one case leaves behind, another would find."""
    folder: Path = tmp_path_factory.mktemp("worker")
    write_version(folder / "version", classifier, X)
    started = Started(folder / "version", folder, drain_s=0.0)
    try:
        started.serve()
        check_alive(started)
        process = psutil.Process(started.process.pid)
        before = process.memory_info().rss
        yield started
        check_alive(started)
        assert process.memory_info().rss - before < GROWTH_BYTES
        assert "Traceback" not in started.log.read_text("utf-8", errors="replace")
    finally:
        started.process.kill()
        started.process.wait(WAIT_S)
        started.listening.close()
        started.channel.close()


def answers(received: bytes, sent: bytes = b"") -> list[Answered]:
    """Read answers as a strict client does; what is no answer fails."""
    heads = sent.count(b"HEAD ")
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, f"no end of a head: {head[:200]!r}"
        first, *lines = head.split(b"\r\n")
        version, status, _ = first.split(b" ", 2)
        assert version == b"HTTP/1.1", first
        headers = {name.lower(): value for name, _, value in (each.partition(b": ") for each in lines)}
        assert len(headers) == len(lines)
        body = b""
        if int(status) >= 200:
            size = int(headers[b"content-length"])
            if not (heads and len(found) == 1):
                body, received = received[:size], received[size:]
                assert len(body) == size
        for word in (b"Traceback", b'File "', b"site-packages", b"Error("):
            assert word not in body
        found.append(Answered(int(status), headers, body))
    return found


def converse(worker: Started, raw: bytes, *, end_it: bool = True, pieces: int = 0) -> list[Answered]:
    """Send bytes and read all that comes until the connection is closed, which it has to be in time.

    `end_it` says that we have no more to send, as a client that goes away does.
    """
    with worker.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # it may refuse, and be gone, before it has all
            for start in range(0, len(raw), pieces or len(raw) or 1):
                client.sendall(raw[start : start + (pieces or len(raw))])
            if end_it:
                client.shutdown(socket.SHUT_WR)
        return answers(read_all(client), raw)


def read_all(client: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def check_alive(worker: Started) -> None:
    """The next ordinary request, on a new connection, is answered right."""
    assert worker.process.poll() is None
    (answer,) = converse(worker, PREDICT.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1), end_it=False)
    assert answer.status == 200
    assert json.loads(answer.body)["predictions"] == ["setosa"]


def check(case: Case, found: Sequence[Answered], *, ended: bool) -> None:
    """Whether the answers are those that the case allows. `ended` says that `END` was sent after it."""
    statuses = [answer.status for answer in found]
    bodies = b"".join(answer.body for answer in found)
    assert b"/smuggled" not in bodies, statuses
    if case.wanted != REFUSED:
        last = [404] if ended and _goes_on(case) else []
        if statuses in ([*case.wanted, *last], [*case.or_else, *last]):
            return
        assert case.or_refused, statuses
    for answer in found[:-1]:
        assert answer.status < 400 or answer.status == 404, statuses
    if found and found[-1].status >= 400:
        assert found[-1].status < 500 or found[-1].status in (501, 505), statuses
    assert b"/the-end" not in bodies, statuses


def _goes_on(case: Case) -> bool:
    """Whether the connection may be used after the case."""
    closes = (b"connection: close" in case.raw.lower()) or b"keep-alive, close" in case.raw or SMUGGLED in case.raw
    return not closes and b"HTTP/1.0" not in case.raw and 413 not in case.wanted


@pytest.mark.parametrize("name", CASES)
def test_what_any_server_must_make_of_it(worker: Started, name: str) -> None:
    case = CASES[name]
    check(case, converse(worker, case.raw + END), ended=True)
    check_alive(worker)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if len(case.raw) < 2000])
def test_byte_by_byte(worker: Started, name: str) -> None:
    case = CASES[name]
    check(case, converse(worker, case.raw + END, pieces=1), ended=True)
    check_alive(worker)


CERTAIN = [name for name, case in CASES.items() if case.wanted == REFUSED and "larger than any" not in name]


@pytest.mark.parametrize("name", CERTAIN)
def test_a_refused_connection_is_closed_by_the_server(worker: Started, name: str) -> None:
    """A client that waits for an answer is not kept waiting: there is one, or the end."""
    case = CASES[name]
    check(case, converse(worker, case.raw + b"\r\n\r\n" + END, end_it=False), ended=True)


def rows(count: int) -> bytes:
    """A request whose answer tells it from others by its length."""
    return post(json.dumps({"inputs": X[:count].tolist()}).encode())


def rows_of(answer: Answered) -> int:
    return len(json.loads(answer.body)["predictions"])


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.integers(1, 400), st.data())
@settings(deadline=None, max_examples=30)
def test_pipelined_answers_come_once_and_in_order(
    worker: Started, counts: list[int], pieces: int, data: st.DataObject
) -> None:
    raw = b"".join(rows(count) if data.draw(st.booleans()) else _in_chunks(count) for count in counts)
    found = converse(worker, raw + END, pieces=pieces)
    assert [rows_of(answer) for answer in found[:-1]] == counts
    assert len({answer.headers[b"x-request-id"] for answer in found}) == len(counts) + 1


def _in_chunks(count: int) -> bytes:
    head, _, body = rows(count).partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"content-length"))
    middle = len(body) // 2
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:middle], body[middle:]))
    return head + b"\r\ntransfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


def test_answers_of_connections_are_not_mixed(worker: Started) -> None:
    """Requests of many connections, each sent in two halves with all others between."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(worker.connect()) for _ in range(50)]
        wanted = [rows(1 + i % 25) + END for i in range(50)]
        for half in (0, 1):
            for client, raw in zip(clients, wanted, strict=True):
                client.sendall(raw[: len(raw) // 2] if half == 0 else raw[len(raw) // 2 :])
        for i, client in enumerate(clients):
            found = answers(read_all(client))
            assert [answer.status for answer in found] == [200, 404]
            assert rows_of(found[0]) == 1 + i % 25


def test_a_client_that_never_reads_its_answers(worker: Started) -> None:
    """It is not read from either, once what it does not take has filled the buffers between."""
    process = psutil.Process(worker.process.pid)
    before = process.memory_info().rss
    request = rows(12) * 200
    with worker.connect() as client:
        client.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError, ConnectionResetError, BrokenPipeError):
            while sent < 256 * 1024 * 1024:
                sent += client.send(request)
                check_alive(worker)
        assert sent < 64 * 1024 * 1024
        assert process.memory_info().rss - before < GROWTH_BYTES
    check_alive(worker)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cut", [1, 30, len(PREDICT) - 40, len(PREDICT) - 1])
def test_a_client_that_goes_away_within_its_request(worker: Started, cut: int, *, reset: bool) -> None:
    with worker.connect() as client:
        client.sendall(PREDICT + PREDICT[:cut])
        assert answers(client.recv(65536))[0].status == 200
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            client.shutdown(socket.SHUT_WR)
            assert len(answers(read_all(client))) <= 1  # perhaps that the body was short
    check_alive(worker)


def test_a_body_is_asked_for_where_the_client_waits_to_be_asked(worker: Started) -> None:
    head, _, body = post(json.dumps({"inputs": X[:1].tolist()}).encode(), "expect: 100-continue").partition(b"\r\n\r\n")
    with worker.connect() as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(body + END)
        assert [answer.status for answer in answers(read_all(client))] == [200, 404]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"/predict", b"/nothing"), 404),
        ((b"application/json", b"text/plain"), 415),
        ((b"Bearer a", b"Bearer b"), 401),
        ((b"content-length: ", b"content-length: 99999999"), 413),
    ],
)
def test_a_body_is_not_asked_for_where_the_head_is_refused(
    worker: Started, change: tuple[bytes, bytes], status: int
) -> None:
    """Whether the client then sends it cannot be known: the connection is closed."""
    head, _, _ = post(b"[]", "expect: 100-continue").replace(*change).partition(b"\r\n\r\n")
    found = converse(worker, head + b"\r\n\r\n", end_it=False)
    assert [answer.status for answer in found] == [status]


def test_who_sends_too_much_is_told(worker: Started) -> None:
    """While it is still sending: its next write must not fail before it has read why."""
    body = b" " * (24 * 1024 * 1024)
    with httpx.Client(timeout=WAIT_S, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        answer = client.post(f"{worker.url}/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["field"] == "body"
    check_alive(worker)


def test_a_head_that_was_seen_before_is_no_way_around_its_body(worker: Started) -> None:
    """The same head again and again, with bodies that are whole, short, long, and another request."""
    whole = rows(3)
    head, _, body = whole.partition(b"\r\n\r\n")
    assert [rows_of(answer) for answer in converse(worker, whole * 3)] == [3, 3, 3]
    with worker.connect() as client:
        for parts in (
            [whole],
            [whole],
            [head, b"\r\n\r\n", body],
            [whole[:-1], whole[-1:]],
            [whole + whole[:9], whole[9:]],
        ):
            wanted = sum(map(len, parts)) // len(whole)
            received = b""
            for part in parts:
                client.sendall(part)
            while received.count(b'"version"') < wanted:
                received += client.recv(65536)
            assert [rows_of(answer) for answer in answers(received)] == [3] * wanted
        other = rows(5)
        client.sendall(whole + other[: len(other) - 1])
        first = client.recv(65536)
        client.sendall(other[-1:] + END)
        found = answers(first + read_all(client))
        assert [rows_of(answer) for answer in found[:-1]] == [3, 5]
    short = head + b"\r\n\r\n" + body[:-2]
    found = converse(worker, short + END)
    assert b"/the-end" not in b"".join(answer.body for answer in found[:1])
    assert all(answer.status >= 400 for answer in found)
    check_alive(worker)


TOKENS = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"\xff", b"0", b"\r\n\r\n", b"HTTP/1.1", b"GET / "),
    *(b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n"),
    *(b"expect: 100-continue\r\n", b"upgrade: h2c\r\n", b"connection: upgrade\r\n"),
]


@given(st.sampled_from([PREDICT, get(), _in_chunks(2), get() + PREDICT]), st.integers(1, 200), st.data())
@settings(deadline=None, max_examples=300)
def test_any_damage(worker: Started, raw: bytes, pieces: int, data: st.DataObject) -> None:
    """Whatever it is, it is answered as one or several requests or refused, and nobody is harmed."""
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        gone = data.draw(st.integers(0, 4))
        damaged[at : at + gone] = data.draw(st.sampled_from(TOKENS) | st.binary(max_size=3))
    found = converse(worker, bytes(damaged) + END, pieces=pieces)
    assert all(answer.status < 500 or answer.status in (501, 505) for answer in found)
    assert len({answer.headers.get(b"x-request-id", i) for i, answer in enumerate(found)}) == len(found)
    ends = [answer for answer in found if b"/the-end" in answer.body]
    assert ends == found[-1:] or not ends
    check_alive(worker)
