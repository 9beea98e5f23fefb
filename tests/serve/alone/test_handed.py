"""A container whose supervisor is outside: it serves the version that is wanted, or says why it does not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.errors import StartFailed, from_payload


def test_an_image_that_holds_another_version_serves_nothing(start: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "hand.sock"
    order = {"spec": {"name": "iris"}, "digest": "of another one", "pid": 7, "container": "podman/iris"}
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as listening, socket.create_server(("127.0.0.1", 0)) as port, ours, theirs:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(30)
        entry = start("handed", AUTODEPLOY_HAND=str(path))
        connection, _ = listening.accept()
        with connection:
            line = msgspec.json.encode(order) + b"\n"
            assert socket.send_fds(connection, [line], [theirs.fileno(), port.fileno()]) == len(line)
            theirs.close()
            ours.settimeout(30)
            error = from_payload(msgspec.json.decode(ours.recv(65536))["error"])
    assert isinstance(error, StartFailed)
    assert "another version" in error.what
    assert "%deploy restart iris" in error.fix
    assert entry.end() == 1


def test_it_ends_where_whoever_hands_it_over_has_gone(start: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "hand.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(30)
        entry = start("handed", AUTODEPLOY_HAND=str(path))
        connection, _ = listening.accept()
        connection.close()
        assert entry.end() == 0
