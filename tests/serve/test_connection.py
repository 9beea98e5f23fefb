"""A connection that does not get on with its request is closed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from autodeploy_magic.serve.http import connection
from autodeploy_magic.serve.http.server import Config, Server

WAIT_S = 10.0


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1"],
)
def test_a_request_that_does_not_arrive_in_time_is_dropped(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT_S", 0.3)

    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert await reader.read() == b""

    _serve_to(scenario)


def test_one_that_takes_its_time_between_requests_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT_S", 0.3)

    async def scenario(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(2) == b"ok"
            with pytest.raises(TimeoutError):  # longer than a request may take
                await asyncio.wait_for(reader.read(1), 0.6)

    _serve_to(scenario)


def _serve_to(scenario: Any) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = Server(Config(_app))
            serving = asyncio.create_task(server.serve(sockets=[listening.dup()]))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await scenario(reader, writer)
            writer.close()
            server.stop()
            await serving

    async def bounded() -> None:
        await asyncio.wait_for(run(), WAIT_S)

    asyncio.run(bounded())
