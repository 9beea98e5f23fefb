"""A model whose predict yields, under the control of a test in the same process; and a server around it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from sklearn.dummy import DummyClassifier
from versions import X, Y, write_version

from autodeploy_magic.serve.http.app import App
from autodeploy_magic.serve.http.front import Front
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.http.server import Config, Server
from autodeploy_magic.serve.model import ServedModel
from autodeploy_magic.serve.road import Lineup, Road

__all__ = ["EVENTS", "LARGE", "WAIT_S", "Gate", "Served", "body", "gate", "items_of", "predict", "stream_version"]

WAIT_S = 10.0
EVENTS = {"accept": "text/event-stream", "content-type": "application/json"}
PLAIN, STEPS, FAILS, ENDLESS = 0.0, 1.0, 2.0, 3.0
LARGE = "x" * 65536


class Gate:
    """What a test holds of the generators that are under way."""

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.closed = threading.Semaphore(0)
        self.given = 0


gate = Gate()


def predict(model: Any, x: Any) -> Iterator[Any]:
    """As many items as the first number of the first row says, in the way that the second says."""
    count, way = int(x[0][0]), x[0][1]
    given = 0
    try:
        while way == ENDLESS or given < count:
            if way == STEPS:
                assert gate.steps.acquire(timeout=WAIT_S)
            given += 1
            gate.given = given
            yield LARGE if way == ENDLESS else f"item {given}"
        if way == FAILS:
            raise ValueError("the secret of the model")
    finally:
        gate.closed.release()


def body(count: float, way: float = PLAIN) -> bytes:
    return json.dumps({"inputs": [[count, way, 0.0, 0.0]]}).encode()


def stream_version(folder: Path, **more: Any) -> Any:
    sample = X.copy()
    sample[:, :2] = 3.0, PLAIN
    model = DummyClassifier().fit(X, Y)
    return write_version(folder, model, sample, format="native", code={"predict": predict}, **more)


def items_of(data: bytes) -> tuple[list[Any], str, dict[str, Any]]:
    """The predictions of a body of events, the name of the last event, and what it says."""
    events = [event.split("\n") for event in data.decode().split("\n\n")[:-1]]
    items = [json.loads(lines[0].removeprefix("data: "))["prediction"] for lines in events[:-1]]
    name, said = events[-1]
    return items, name.removeprefix("event: "), json.loads(said.removeprefix("data: "))


class Served:
    """One version of the streaming model, served by this process. `seen` is what would be recorded."""

    def __init__(self, folder: Path) -> None:
        gate.__init__()  # type: ignore[misc]
        stream_version(folder)
        self.seen: list[tuple[Any, ...]] = []
        self.news = threading.Semaphore(0)
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def _observe(self, *values: Any) -> None:
        self.seen.append(values)
        self.news.release()

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.road = Road(ServedModel.load(self._folder))
        self.front = Front(Lineup(self.road, loaded={1: self.road}), Guard(tokens=[]), observe=self._observe)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            self.server = Server(
                Config(App(self.front), front=self.front), draining=lambda: setattr(self.front, "draining", True)
            )
            task = asyncio.create_task(self.server.serve(sockets=[listening.dup()]))
            self._ready.set()
            await task
        self.road.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    def stop(self, drain_s: float = 0.0) -> None:
        self.loop.call_soon_threadsafe(self.server.stop, drain_s)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):
            self.stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def ended(self) -> tuple[Any, ...]:
        """What is recorded of the next request that ends."""
        assert self.news.acquire(timeout=WAIT_S)
        return self.seen[-1]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)

    def ask(self, given: bytes, headers: dict[str, str] = EVENTS) -> http.client.HTTPResponse:
        connection = self.client()
        connection.request("POST", "/predict", given, headers)
        return connection.getresponse()
