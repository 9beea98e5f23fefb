"""The short way from a connection to the front: what comes back, in which order, and what a known head may not skip."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from versions import X, write_version

from autodeploy_magic import settings
from autodeploy_magic.serve.http.app import App, make_app
from autodeploy_magic.serve.http.server import Config, Server
from autodeploy_magic.serve.model import ServedModel

TOKEN = "a-token-of-the-test"
ROW = json.dumps({"inputs": X[:1].tolist()}).encode()
WAIT_S = 10.0

Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Slow:
    """A model that answers when it is let, and counts how often it was asked."""

    classes_ = ("setosa",)

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = threading.Semaphore(0)
        self.calls = 0

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, _: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.go.set()

    def switch_off(self) -> None:
        self.go.clear()
        self.calls = 0
        while self.asked.acquire(blocking=False):
            pass

    def predict(self, rows: Any) -> Any:
        self.calls += 1
        self.asked.release()
        time.sleep(0.005)  # too long for the loop, by whatever measure
        assert self.go.wait(WAIT_S)
        return rows[:, 0]

    def predict_proba(self, rows: Any) -> Any:
        return rows


def request(body: bytes = ROW, *, path: str = "/predict", method: str = "POST", extra: str = "") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    async with asyncio.timeout(WAIT_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(status.split()[1]), headers, body


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Dial]:
    server = Server(Config(app, front=getattr(app, "front", None)))
    listening = await asyncio.get_running_loop().run_in_executor(None, _listen)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    writers: list[asyncio.StreamWriter] = []

    async def dial() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writers.append(writer)
        return reader, writer

    try:
        yield dial
    finally:
        for writer in writers:
            writer.close()
        server.stop()
        await asyncio.wait_for(task, WAIT_S)


def _listen() -> Any:
    import socket

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(16)
    listening.setblocking(False)
    return listening


@pytest.fixture
def app(version_folder: Path) -> App:
    return make_app(ServedModel.load(version_folder), token=TOKEN)


@pytest.fixture
def slow_app(tmp_path: Path) -> tuple[App, Slow]:
    """A model so slow that it never runs on the loop, with its switch off."""
    ready = Slow()
    ready.go.set()
    write_version(tmp_path / "slow", ready, X, format="native", one_row_s=1.0)
    served = ServedModel.load(tmp_path / "slow")
    model: Slow = served._runner.model  # type: ignore[attr-defined]
    app = make_app(served, token=TOKEN)  # which may try how the model takes several rows
    model.switch_off()
    return app, model


def run(scenario: Callable[[Dial], Awaitable[None]], app: Any) -> None:
    async def main() -> None:
        async with serving(app) as dial:
            await scenario(dial)

    asyncio.run(main())


def test_the_same_request_again_is_answered_the_same(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        ids = set()
        for _ in range(5):
            writer.write(request())
            status, headers, body = await answer(reader)
            found = json.loads(body)
            assert status == 200
            assert found["id"] == headers["x-request-id"]
            ids.add(found["id"])
        assert len(ids) == 5
        assert len(app.front.heads) == 1

    run(scenario, app)


def test_a_known_head_with_other_rows_gets_other_answers(app: App, classifier: Any) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        for i in (0, 60, 140, 0):
            body = json.dumps({"inputs": X[i : i + 1].tolist()}).encode().ljust(64)
            writer.write(request(body))
            status, _, got = await answer(reader)
            assert (status, json.loads(got)["predictions"]) == (200, classifier.predict(X[i : i + 1]).tolist())
        assert len(app.front.heads) == 1

    run(scenario, app)


def test_a_known_head_is_checked_for_its_token_again(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        for _ in range(2):
            writer.write(request())
            assert (await answer(reader))[0] == 200
        app.front.guard.tokens = ["another"]
        writer.write(request())
        status, headers, _ = await answer(reader)
        assert (status, headers["www-authenticate"]) == (401, "bearer")

    run(scenario, app)


@pytest.mark.parametrize(
    "raw",
    [
        request().replace(b"POST /predict", b"POST /nothing"),
        request().replace(TOKEN.encode(), b"wrong"),
        request().replace(b"application/json", b"text/html"),
        request(extra="Expect: 100-continue\r\n"),
        request(extra="Connection: close\r\n"),
        request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        request(b"", path="/livez", method="HEAD"),
        request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"1\r\n{\r\n0\r\n\r\n",
        request(extra=f"X-Padding: {'x' * 5000}\r\n"),
    ],
)
def test_an_unusual_head_is_never_known(app: App, raw: bytes) -> None:
    async def scenario(dial: Dial) -> None:
        for _ in range(2):
            reader, writer = await dial()
            writer.write(raw)
            await answer(reader) if not raw.startswith(b"HEAD") else await reader.readuntil(b"\r\n\r\n")
            assert not app.front.heads

    run(scenario, app)


def test_one_byte_at_a_time(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        for _ in range(2):
            for byte in request():
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert (await answer(reader))[0] == 200

    run(scenario, app)


def test_pipelined_requests_are_answered_in_order(app: App) -> None:
    wrong = request(b'{"inputs": [[1]]}')
    sent = [request(), wrong, request(b"", path="/livez", method="GET"), request(b"", path="/nothing"), request()]

    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        for _ in range(3):
            writer.write(b"".join(sent))
            assert [(await answer(reader))[0] for _ in sent] == [200, 422, 200, 404, 200]

    run(scenario, app)


def test_what_is_behind_a_slow_request_waits_for_it(slow_app: tuple[App, Slow]) -> None:
    app, model = slow_app

    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        writer.write(request() + request(b"", path="/livez", method="GET") + request() + request(b"", path="/nothing"))
        await asyncio.to_thread(model.asked.acquire)
        other_reader, other = await dial()
        other.write(request(b"", path="/livez", method="GET"))
        assert (await answer(other_reader))[0] == 200  # the loop is free
        model.go.set()
        found = [await answer(reader) for _ in range(4)]
        assert [status for status, _, _ in found] == [200, 200, 200, 404]
        assert b"alive" in found[1][2]

    run(scenario, app)


def test_a_known_head_can_wait_too(slow_app: tuple[App, Slow]) -> None:
    app, model = slow_app

    async def scenario(dial: Dial) -> None:
        model.go.set()
        reader, writer = await dial()
        writer.write(request())
        assert (await answer(reader))[0] == 200
        assert app.front.heads
        model.go.clear()
        writer.write(request())
        await asyncio.to_thread(model.asked.acquire)
        writer.write(request(b"", path="/readyz", method="GET"))  # behind one that waits
        model.go.set()
        assert b"predictions" in (await answer(reader))[2]
        assert b"ready" in (await answer(reader))[2]

    run(scenario, app)


def test_a_client_that_goes_away_frees_its_place(slow_app: tuple[App, Slow]) -> None:
    app, model = slow_app
    lane = app.front.lineup.champion.lane

    async def scenario(dial: Dial) -> None:
        _, first = await dial()
        first.write(request())
        await asyncio.to_thread(model.asked.acquire)
        leaving = [await dial() for _ in range(3)]
        for _, writer in leaving:
            writer.write(request())
        await until(lambda: lane.queued == 3)
        for _, writer in leaving:
            writer.close()
        await until(lambda: lane.queued == 0)
        model.go.set()
        await until(lambda: lane.running == 0)
        assert model.calls == 1

    run(scenario, app)


def test_too_long_gets_504_and_too_many_get_429(slow_app: tuple[App, Slow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODEPLOY_REQUEST_TIMEOUT_S", "0.3")
    monkeypatch.setenv("AUTODEPLOY_MAX_QUEUE", "1")
    settings.reset()
    old, model = slow_app
    seen: list[int] = []
    model.go.set()
    served = old.front.lineup.champion.served
    app = make_app(served, token=TOKEN, observe=lambda _v, status, *_: seen.append(status))
    model.switch_off()

    async def scenario(dial: Dial) -> None:
        lane = app.front.lineup.champion.lane
        connections = [await dial() for _ in range(3)]
        connections[0][1].write(request())
        await asyncio.to_thread(model.asked.acquire)
        connections[1][1].write(request())
        await until(lambda: lane.queued == 1)
        connections[2][1].write(request())
        status, headers, body = await answer(connections[2][0])
        assert (status, int(headers["retry-after"]) >= 1) == (429, True)
        assert json.loads(body)["error"] == "Overloaded"
        assert [(await answer(connections[i][0]))[0] for i in (0, 1)] == [504, 504]
        assert lane.queued == 0
        model.go.set()
        connections[0][1].write(request())
        assert (await answer(connections[0][0]))[0] == 200
        assert sorted(seen) == [200, 429, 504, 504]

    run(scenario, app)


def test_a_body_that_is_too_large_ends_the_connection(monkeypatch: pytest.MonkeyPatch, version_folder: Path) -> None:
    monkeypatch.setenv("AUTODEPLOY_MAX_BODY_BYTES", "1000")
    settings.reset()
    app = make_app(ServedModel.load(version_folder), token=TOKEN)

    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        writer.write(request(b"x" * 2000))
        status, headers, _ = await answer(reader)
        assert (status, headers["connection"]) == (413, "close")
        assert await reader.read() == b""
        reader, writer = await dial()
        chunked = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        writer.write(chunked + b"".join(b"190\r\n" + b"x" * 400 + b"\r\n" for _ in range(4)))
        assert (await answer(reader))[0] == 413
        assert await reader.read() == b""

    run(scenario, app)


def test_a_client_that_is_still_sending_hears_why_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, version_folder: Path
) -> None:
    """http.client reads nothing before it has sent all; a connection that is reset meanwhile loses the answer."""
    monkeypatch.setenv("AUTODEPLOY_MAX_BODY_BYTES", "1000")
    settings.reset()
    app = make_app(ServedModel.load(version_folder), token=TOKEN)

    def upload(port: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        with contextlib.closing(connection):
            headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
            connection.request("POST", "/predict", b"x" * 3_000_000, headers)
            response = connection.getresponse()
            return response.status, response.read()

    async def scenario(dial: Dial) -> None:
        _, writer = await dial()
        port = writer.get_extra_info("peername")[1]
        for _ in range(5):
            status, body = await asyncio.to_thread(upload, port)
            assert (status, json.loads(body)["error"]) == (413, "BodyTooLarge")

    run(scenario, app)


def test_a_url_that_is_named_whole_is_understood_by_its_own_host(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        whole = request().replace(b"POST /predict", b"POST http://localhost:80/predict")
        for raw, status in (
            (whole, 200),
            (whole, 200),
            (whole.replace(b"http://localhost:80", b"http://evil.example"), 421),
            (request().replace(b"Host: localhost", b"Host: evil.example"), 421),
            (whole.replace(b"Host: localhost", b"Host: evil.example"), 200),
        ):
            writer.write(raw)
            assert (await answer(reader))[0] == status

    run(scenario, app)


def test_a_client_is_told_to_send_its_body_only_if_it_is_wanted(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        raw = request(extra="Expect: 100-continue\r\n")
        head, body = raw.split(b"\r\n\r\n", 1)
        writer.write(head + b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await answer(reader))[0] == 200
        writer.write(head.replace(TOKEN.encode(), b"wrong") + b"\r\n\r\n")
        status, headers, _ = await answer(reader)
        assert (status, headers["connection"]) == (401, "close")  # whether a body follows, nobody could tell

    run(scenario, app)


@pytest.mark.parametrize("extra", [f"X-A: {'a' * 70_000}\r\n", "X-A: a\r\n" * 300])
def test_a_head_that_is_too_large_is_refused_however_it_comes(app: App, extra: str) -> None:
    async def scenario(dial: Dial) -> None:
        for parts in (1, 50):
            reader, writer = await dial()
            raw = request(extra=extra)
            for i in range(parts):
                writer.write(raw[len(raw) * i // parts : len(raw) * (i + 1) // parts])
                await asyncio.sleep(0)
            assert (await answer(reader))[0] == 431

    run(scenario, app)


def test_head_has_no_body_and_http_1_0_closes(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        writer.write(request(b"", path="/livez", method="HEAD") + request(b"", path="/readyz", method="GET"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert b"content-length: 18" in head
        assert (await answer(reader))[2] == b'{"status":"ready"}'
        reader, writer = await dial()
        writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
        assert (await answer(reader))[1]["connection"] == "close"
        assert await reader.read() == b""

    run(scenario, app)


def test_a_draining_front_says_goodbye_to_known_heads_too(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        writer.write(request())
        assert "connection" not in (await answer(reader))[1]
        app.front.draining = True
        writer.write(request())
        status, headers, _ = await answer(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await reader.read() == b""

    run(scenario, app)


def test_a_client_that_does_not_read_is_not_read_from(app: App) -> None:
    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        one = request(b"", path="/signature", method="GET")
        writer.write(one)
        size = len((await answer(reader))[2])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(writer, one), 2.0)
        first = await answer(reader)
        assert (first[0], len(first[2])) == (200, size)

    run(scenario, app)


def test_what_the_front_does_not_know_goes_to_the_mounted_app(version_folder: Path) -> None:
    class Mounted:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            text = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {len(body)}".encode()
            size = str(len(text)).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", size)]})
            await send({"type": "http.response.body", "body": text})

        async def shutdown(self) -> None: ...

    app = make_app(ServedModel.load(version_folder), token=TOKEN, bento_app=Mounted())

    async def scenario(dial: Dial) -> None:
        reader, writer = await dial()
        ours, theirs = request(), request(b"123", path="/schema.json?a=b")
        writer.write(ours + theirs + ours + theirs + theirs + ours)
        found = [(await answer(reader))[2] for _ in range(6)]
        assert [body.startswith(b'{"predictions"') for body in found] == [True, False, True, False, False, True]
        assert found[1] == b"POST /schema.json a=b 3"

    run(scenario, app)


async def flood(writer: asyncio.StreamWriter, raw: bytes) -> None:
    for _ in range(200):  # 200 times 1000 requests: far more than the buffers between hold
        writer.write(raw * 1000)
        await writer.drain()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is told to nobody
            await asyncio.sleep(0.002)
