"""What a companion of the worker in this process learns from its channel."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from autodeploy_magic.errors import StartFailed, from_payload

__all__ = ["wait_until_it_serves"]

START_S = 300.0


def wait_until_it_serves(channel: socket.socket) -> None:
    """Let the worker serve, and return when it does. Raises the error that it did not start with, or `StartFailed`."""
    channel.settimeout(START_S)
    stream = channel.makefile("rb")
    try:
        while line := stream.readline():
            message = msgspec.json.decode(line, type=dict[str, Any])
            if "error" in message:
                raise from_payload(message["error"])
            if "ready" in message:
                channel.sendall(b"\n")
            if "serving" in message:
                return
    except TimeoutError:
        raise StartFailed(f"the model was not ready within {START_S:g} s", fix="give the container more CPU") from None
    raise StartFailed("the worker ended before it was ready", fix="the log above says why")
