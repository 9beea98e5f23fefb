"""A worker by itself: a real process, told what a supervisor would tell it."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from versions import X
from workers import TOKEN, WAIT_S, Started

from autodeploy_magic.contracts import Traffic
from autodeploy_magic.serve.control import ask
from autodeploy_magic.store import file_sha256

BODY = {"inputs": X[:2].tolist()}
HEADERS = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[Started] = []

    def begin(folder: Path, drain_s: float = 5.0) -> Started:
        started.append(Started(folder, tmp_path, drain_s))
        return started[-1]

    yield begin
    for worker in started:
        worker.process.kill()
        worker.process.wait(WAIT_S)
        worker.listening.close()
        worker.channel.close()


def test_it_serves_once_it_is_let(start: Any, version_folder: Path) -> None:
    worker = start(version_folder)
    ready = worker.said()["ready"]
    assert (ready["name"], ready["generation"], ready["version"]) == ("iris", 7, 1)
    with worker.connect() as early:  # waits in the queue: nobody accepts it yet
        early.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        early.settimeout(0.3)
        with pytest.raises(TimeoutError):
            early.recv(1)
        worker.channel.sendall(b"\n")
        early.settimeout(WAIT_S)
        assert early.recv(4096).startswith(b"HTTP/1.1 200")
    answer = httpx.post(f"{worker.url}/predict", json=BODY, headers=HEADERS)
    assert answer.json()["predictions"] == ["setosa", "setosa"]
    assert "server" not in answer.headers
    assert "date" in answer.headers


def test_it_ends_where_the_supervisor_is_gone_before_it_may_serve(start: Any, version_folder: Path) -> None:
    worker = start(version_folder)
    worker.said()
    worker.channel.close()
    assert worker.end() == 0
    assert list(worker.sockets.iterdir()) == []
    assert list(worker.metrics.iterdir()) == []


def test_a_version_that_does_not_load_is_told(start: Any, version_folder: Path) -> None:
    next(version_folder.glob("model.*")).write_bytes(b"other")
    worker = start(version_folder)
    assert worker.said()["error"]["error"] == "ArtifactChanged"
    assert worker.end() == 1


def test_an_answer_that_differs_from_the_live_object_is_told(start: Any, version_folder: Path) -> None:
    expected = version_folder / "expected.json"
    version = msgspec.json.decode((version_folder / "version.json").read_bytes())
    expected.write_bytes(expected.read_bytes().replace(b"setosa", b"roses"))
    for artifact in version["artifacts"]:
        if artifact["role"] == "expected":
            artifact["sha256"] = file_sha256(expected)
    (version_folder / "version.json").write_bytes(msgspec.json.encode(version))
    error = start(version_folder).said()["error"]
    assert error["error"] == "StartFailed"
    assert "setosa" in error["why"]


def test_a_drain_answers_what_it_holds_and_says_goodbye(start: Any, version_folder: Path) -> None:
    worker = start(version_folder)
    worker.serve()
    with httpx.Client(timeout=WAIT_S) as client, httpx.Client(timeout=WAIT_S) as idle:
        assert client.post(f"{worker.url}/predict", json=BODY, headers=HEADERS).headers.get("connection") is None
        idle.get(f"{worker.url}/livez")
        worker.process.send_signal(signal.SIGTERM)
        _until(lambda: not list(worker.sockets.iterdir()))  # it has begun
        answer = client.post(f"{worker.url}/predict", json=BODY, headers=HEADERS)
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        assert worker.process.poll() is None  # the other connection may still be used
        assert idle.get(f"{worker.url}/livez").headers["connection"] == "close"
        assert worker.end() == 0
    assert list(worker.metrics.iterdir()) == []


def test_a_drain_leaves_new_connections_to_the_next_worker(start: Any, version_folder: Path) -> None:
    worker = start(version_folder)
    worker.serve()
    with worker.connect() as held:
        _ask(held)
        worker.process.send_signal(signal.SIGTERM)
        _until(lambda: not list(worker.sockets.iterdir()))
        with worker.connect() as late:
            worker.listening.settimeout(WAIT_S)
            accepted, _ = worker.listening.accept()  # we, who hold the socket too, get it
            accepted.close()
            late.close()


def test_idle_connections_are_closed_when_drain_s_is_over(start: Any, version_folder: Path) -> None:
    worker = start(version_folder, drain_s=0.5)
    worker.serve()
    with worker.connect() as idle:
        _ask(idle)
        began = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        assert time.monotonic() - began >= 0.5
    assert worker.end() == 0


def test_sighup_does_not_wait_for_idle_connections(start: Any, version_folder: Path) -> None:
    worker = start(version_folder, drain_s=WAIT_S)
    worker.serve()
    with worker.connect() as idle:
        _ask(idle)
        worker.process.send_signal(signal.SIGHUP)
        assert worker.process.wait(10) == 0


def test_a_second_sigterm_ends_it_at_once(start: Any, version_folder: Path) -> None:
    worker = start(version_folder, drain_s=WAIT_S)
    worker.serve()
    with worker.connect() as idle:
        _ask(idle)
        worker.process.send_signal(signal.SIGTERM)
        _until(lambda: not list(worker.sockets.iterdir()))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(5) == 128 + signal.SIGTERM
    assert list(worker.metrics.iterdir()) == []


def test_the_control_socket_hands_over_the_listening_socket(start: Any, version_folder: Path) -> None:
    worker = start(version_folder)
    worker.serve()
    path = worker.sockets / f"worker-{worker.process.pid}.sock"
    _until(path.exists)
    answer = ask(path, WAIT_S)
    assert answer is not None
    who, (listening,) = answer
    with listening:
        traffic = msgspec.json.decode(msgspec.json.encode(Traffic()))
        pid = worker.process.pid
        assert who == {
            "name": "iris",
            "pid": pid,
            "version": 1,
            "generation": 7,
            "traffic": traffic,
            "held_s": 0.0,
            "container": "",
        }
        assert listening.getsockname() == worker.listening.getsockname()
    assert ask(worker.sockets / "nobody.sock", WAIT_S) is None


def test_a_head_without_end_is_refused(start: Any, version_folder: Path) -> None:
    worker = start(version_folder)
    worker.serve()
    with worker.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                client.sendall(b"x-long: " + b"y" * 1024 + b"\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b" 431 " in client.recv(4096)
    assert httpx.get(f"{worker.url}/livez").status_code == 200


def _ask(connection: socket.socket) -> None:
    """Send a request and read its whole answer; the connection stays open."""
    connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answer = HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    answer.read()


def _until(condition: Any) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
