"""Ports with versions behind them, each ended with its test."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpcport import Gate, Port, Raw
from versions import X, write_version


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Port]]:
    ports: list[Port] = []

    def start(*folders: Path, tls: ssl.SSLContext | None = None) -> Port:
        ports.append(Port(folders, tls))
        return ports[-1]

    yield start
    for port in ports:
        port.stop()


@pytest.fixture
def iris(serve: Callable[..., Port], tmp_path: Path, classifier: Any) -> Port:
    """The classifier, answered by its port."""
    write_version(tmp_path / "iris", classifier, X)
    return serve(tmp_path / "iris")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def waiting(serve: Callable[..., Port], tmp_path: Path, classifier: Any, gate: Gate) -> Port:
    """A model that is slow, in that it waits at the gate; one thread runs it."""
    path = str(gate.path)

    def predict(model: Any, x: Any) -> Any:
        with contextlib.suppress(FileNotFoundError), open(path) as pipe:  # noqa: PTH123 - runs without this module
            pipe.read()
        return model.predict(x)

    write_version(tmp_path / "waiting", classifier, X, format="native", code={"predict": predict}, one_row_s=1.0)
    port = serve(tmp_path / "waiting")
    gate.close()
    return port


@pytest.fixture
def raw() -> Iterator[Callable[..., Raw]]:
    with contextlib.ExitStack() as stack:

        def connect(port: Port, **options: Any) -> Raw:
            client = Raw(port, **options)
            stack.enter_context(client.socket)
            return client

        yield connect
