"""The entry of an image as a real process: its environment, its log, and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

WAIT_S = 30.0
TOKEN = "a-token-that-nobody-guesses"
HEADERS = {"authorization": f"Bearer {TOKEN}"}


class Entry:
    """One started command. `lines` is what it has logged so far, each line read as JSON."""

    def __init__(self, arguments: tuple[str, ...], environ: dict[str, str], **options: Any) -> None:
        self.port = int(environ.get("PORT", 0))
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self._more = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autodeploy_magic.serve.alone", *arguments],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._more:
                self.raw.append(line)
                if line.startswith(b"{"):
                    self.lines.append(msgspec.json.decode(line))
                self._more.notify_all()
        with self._more:
            self._closed = True
            self._more.notify_all()

    def logged(self, words: str, times: int = 1) -> dict[str, Any]:
        """Wait for the line with these words in its message, the last of so many."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines if words in line["message"]]

        with self._more:
            self._more.wait_for(lambda: self._closed or len(found()) >= times, WAIT_S)
            assert len(found()) >= times, (words, self.raw)
            return found()[times - 1]

    def serving(self, workers: int = 1) -> Entry:
        self.logged("serving after", workers)
        return self

    def end(self, number: int | None = None) -> int:
        """Its exit code, after a signal if one is given."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code

    def predict(self, rows: Any = None, **headers: str) -> httpx.Response:
        body = {"inputs": X[:2].tolist() if rows is None else rows}
        return httpx.post(f"{self.url}/predict", json=body, headers={**HEADERS, **headers}, timeout=WAIT_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX version."""
    folder = tmp_path_factory.mktemp("model")
    write_version(folder, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X)
    return folder


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def environ(tmp_path: Path, model: Path, port: int) -> dict[str, str]:
    """What an image's environment says, and the test run's mark."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTODEPLOY_")}
    mark = {name: os.environ[name] for name in ("AUTODEPLOY_TEST_RUN",)}
    return (
        kept
        | mark
        | {
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "PORT": str(port),
            "AUTODEPLOY_MODEL": str(model),
            "AUTODEPLOY_STATE": str(tmp_path / "state"),
            "AUTODEPLOY_TOKEN": TOKEN,
        }
    )


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Callable[..., Entry]]:
    """Start a command with changes of the environment; None takes a variable away."""
    started: list[Entry] = []

    def begin(*arguments: str, options: dict[str, Any] | None = None, **changes: str | None) -> Entry:
        chosen = {name: value for name, value in {**environ, **changes}.items() if value is not None}
        started.append(Entry(arguments, chosen, **(options or {})))
        return started[-1]

    yield begin
    for entry in started:
        entry.close()
