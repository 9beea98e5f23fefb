"""A gRPC port with real versions behind it, on an event loop of its own; and a client that says what no library says.

For tests of serve/grpc.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hyperframe.frame import GoAwayFrame
from tritonclient.grpc import service_pb2
from versions import X

from autodeploy_magic.serve.grpc.server import GrpcServer, serve_grpc
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.road import Lineup, Road

TOKEN = "a-token"
BEARER = (("authorization", f"Bearer {TOKEN}"),)
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WATCH = "/grpc.health.v1.Health/Watch"
WAIT_S = 20.0


class Port:
    """A worker's gRPC port. `observed` are the (version, status, rows, bytes_in) that its front was told."""

    def __init__(self, folders: Sequence[Path], tls: ssl.SSLContext | None) -> None:
        self.observed: list[tuple[int, int, int, int]] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._folders = folders
        self._tls = tls
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), name="port")
        self._thread.start()
        self._started.result(WAIT_S)

    async def _serve(self) -> None:
        try:
            self.loop = asyncio.get_running_loop()
            self._ended = asyncio.Event()
            self.roads = [Road(ServedModel.load(folder)) for folder in self._folders]
            self.front = Front(
                Lineup(self.roads[0], loaded={road.version.number: road for road in self.roads}),
                Guard(tokens=[TOKEN]),
                observe=self._observe,
            )
            # A worker's socket is inherited by others, so it stays open where one of them closes its own.
            inherited = socket.socket(fileno=os.dup(self.listening.fileno()))
            self.server: GrpcServer = await serve_grpc(self.front, inherited, self._tls)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        await self._ended.wait()
        await self.server.drain(0.0)
        for road in self.roads:
            road.close()

    def _observe(self, version: int, status: int, seconds: float, rows: int, bytes_in: int, bytes_out: int, /) -> None:
        self.observed.append((version, status, rows, bytes_in))

    def on_loop(self, function: Callable[[], Any]) -> Any:
        """Call `function` on the server's loop; await what it returns if that can be awaited."""

        async def call() -> Any:
            result = function()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(WAIT_S)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, looked at on the server's loop."""
        end = time.monotonic() + WAIT_S
        while not self.on_loop(condition):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.005)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(WAIT_S)
        self.listening.close()
        assert not self._thread.is_alive()


class Gate:
    """A model that waits at a pipe. `entered()` returns when it does, and `open()` lets it go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None

    def close(self) -> None:
        os.mkfifo(self.path)

    def entered(self) -> None:
        self._held = os.open(self.path, os.O_WRONLY)

    def open(self) -> None:
        """For the one that waits now, and for all that come."""
        with contextlib.suppress(FileNotFoundError):
            if self._held is None:
                with contextlib.suppress(OSError):
                    self._held = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            self.path.unlink()
        if self._held is not None:
            os.close(self._held)
            self._held = None


def request(rows: Any = X[:2], **fields: Any) -> Any:
    """A `ModelInferRequest` as a client library makes it."""
    rows = np.asarray(rows)
    message = service_pb2.ModelInferRequest(model_name="iris", **fields)
    message.inputs.add(name="inputs", datatype="FP64", shape=rows.shape)
    message.raw_input_contents.append(rows.tobytes())
    return message


def framed(message: bytes, flag: bytes = b"\0") -> bytes:
    return flag + len(message).to_bytes(4, "big") + message


class Raw:
    """HTTP/2 by hand."""

    def __init__(self, port: Port, *, greet: bool = True, buffer_bytes: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(WAIT_S)
        if buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.connect(("127.0.0.1", port.port))
        self.h2 = H2Connection(H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self.events: list[Any] = []
        self.closed = False
        self.takes = True  # so that the server's windows never end
        self.last_streams: list[int] = []  # of the server's goodbyes, after which h2 would read no more
        self.h2._frame_dispatch_table[GoAwayFrame] = self._goodbye
        if greet:
            self.h2.initiate_connection()
            self.send()
            self.until(lambda event: isinstance(event, events.SettingsAcknowledged))

    def send(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, path: str = INFER, *, end: bool = False, **more: str) -> int:
        """The headers of a request; returns its stream."""
        stream = int(self.h2.get_next_available_stream_id())
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
        headers |= {"content-type": "application/grpc", "te": "trailers", "authorization": f"Bearer {TOKEN}"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        self.h2.send_headers(stream, [(name, value) for name, value in headers.items() if value], end_stream=end)
        self.send()
        return stream

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self.h2.send_data(stream, data, end_stream=end)
        self.send()

    def read(self) -> bool:
        """Take what the server says; false where it has closed."""
        data = b""
        with contextlib.suppress(ConnectionError):
            data = self.socket.recv(65536)
        if not data:
            self.closed = True
            return False
        new = self.h2.receive_data(data)
        self.events += new
        for event in new:
            if isinstance(event, events.DataReceived) and self.takes:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        with contextlib.suppress(ConnectionError):
            self.send()
        return True

    def _goodbye(self, frame: GoAwayFrame) -> tuple[list[Any], list[Any]]:
        self.last_streams.append(frame.last_stream_id)
        return [], []

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first event that is `wanted`."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                seen += 1
                if wanted(event):
                    return event
            assert self.read(), "the server closed the connection"

    def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """The headers and trailers of an answer, and its bytes."""
        self.until(lambda event: isinstance(event, events.StreamEnded) and event.stream_id == stream)
        mine = [event for event in self.events if getattr(event, "stream_id", None) == stream]
        headers: dict[str, str] = {}
        for event in mine:
            if isinstance(event, events.ResponseReceived | events.TrailersReceived):
                headers |= dict(event.headers)
        return headers, b"".join(event.data for event in mine if isinstance(event, events.DataReceived))

    def ended(self) -> bool:
        """Read until the server closes."""
        while self.read():
            pass
        return self.closed


def asks(port: Port) -> bool:
    """Whether somebody else is still answered."""
    with grpc.insecure_channel(port.address) as channel:
        body = channel.unary_unary(INFER)(request().SerializeToString(), metadata=BEARER, timeout=WAIT_S)
        return b"setosa" in body
