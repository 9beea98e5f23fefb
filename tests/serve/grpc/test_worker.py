"""Real workers with a gRPC port: a swap under load, and what they answer after."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from grpcport import BEARER, INFER, request
from tritonclient.grpc import InferenceServerClient
from versions import X, write_version
from workers import WAIT_S, Started


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as held:  # as a supervisor holds it
        yield held


@pytest.fixture
def start(tmp_path: Path, classifier: Any, listening: socket.socket) -> Iterator[Any]:
    write_version(tmp_path / "version", classifier, X)
    started: list[Started] = []

    def begin() -> Started:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Started(tmp_path / "version", folder, drain_s=5.0, grpc=listening))
        started[-1].serve()
        return started[-1]

    yield begin
    for worker in started:
        worker.process.kill()
        worker.process.wait(WAIT_S)
        worker.listening.close()
        worker.channel.close()


class Load:
    """Clients that never stop asking."""

    def __init__(self, port: int, clients: int) -> None:
        self.failures: list[str] = []
        self.answered = [0] * clients
        self._port = port
        self._stopped = threading.Event()
        self._more = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(slot,)) for slot in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def wait_for(self, more: int) -> None:
        """Until each client has had `more` answers."""
        wanted = [count + more for count in self.answered]
        with self._more:
            assert self._more.wait_for(
                lambda: self.failures or all(map(int.__ge__, self.answered, wanted)), timeout=WAIT_S
            )

    def _ask(self, slot: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self._port}", options=options) as channel:
            infer = channel.unary_unary(INFER)
            while not self._stopped.is_set():
                try:
                    infer(request().SerializeToString(), metadata=BEARER, timeout=WAIT_S)
                except grpc.RpcError as error:
                    self.failures.append(f"{error.code()}: {error.details()}")
                with self._more:
                    self.answered[slot] += 1
                    self._more.notify_all()


def test_swaps_of_processes_lose_no_call(start: Any, listening: socket.socket) -> None:
    old = start()
    with Load(listening.getsockname()[1], clients=3) as load:
        load.wait_for(5)
        for _ in range(2):
            new = start()
            old.process.send_signal(signal.SIGTERM)
            assert old.end() == 0
            load.wait_for(5)
            old = new
    assert load.failures == []


def test_a_worker_that_is_killed_leaves_its_calls_to_the_next(start: Any, listening: socket.socket) -> None:
    first, second = start(), start()
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    with InferenceServerClient(address) as client:
        assert client.is_server_ready()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(WAIT_S)
    with InferenceServerClient(address) as client:
        assert client.is_server_ready()
    assert second.process.poll() is None
