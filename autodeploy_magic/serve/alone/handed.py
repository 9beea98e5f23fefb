"""A worker in a container whose supervisor is outside: what it serves, and the sockets, are handed to it.

The supervisor listens on a unix socket in a folder that the container sees. Whoever connects is sent one line of JSON
({"spec", "digest", "pid", "container"}) and, with it, the channel and the listening sockets. So the container needs no
network and no port of its own, and a new generation takes the place of the old one as it does outside.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.errors import StartFailed
from autodeploy_magic.serve.alone.order import read_version
from autodeploy_magic.serve.worker import main

__all__ = ["SOCKET", "handed"]

SOCKET = "AUTODEPLOY_HAND"
"""The variable that names the unix socket."""

_LINE_BYTES = 65536
_MOST_SOCKETS = 3


def handed() -> int:
    """Serve what is handed over, until told to stop; returns the exit code. Raises `OSError` where nobody hands it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[SOCKET])
        line, descriptors, _, _ = socket.recv_fds(connection, _LINE_BYTES, _MOST_SOCKETS)
        while not line.endswith(b"\n"):
            more = connection.recv(_LINE_BYTES)
            if not more:
                return 0  # whoever handed it over has gone
            line += more
    order = msgspec.json.decode(line, type=dict[str, Any])
    folder = os.environ["AUTODEPLOY_MODEL"]
    channel = socket.socket(fileno=descriptors[0])
    if read_version(Path(folder)).digest != order["digest"]:
        wrong = StartFailed(
            "the image holds another version than the one that is wanted",
            why="its name has come to mean another image",
            fix=f"`%deploy restart {order['spec']['name']}` builds it again",
        )
        channel.sendall(msgspec.json.encode({"error": wrong.to_payload()}) + b"\n")
        return 1
    spec = {**order["spec"], "folder": folder}
    known = {"pid": order["pid"], "container": order["container"]}
    return main(spec, {"channel": channel, "listen": descriptors[1:], **known})
