"""The other versions of a deployment, as a worker knows of them: those that are kept, and how to have them loaded.

A worker loads nothing by itself, or it would be the only one of its deployment to do so. It asks the supervisor, which
tells them all, and remembers it for those that come after.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.errors import (
    AutodeployError,
    InvalidInputs,
    InvalidOption,
    NotFound,
    RequestRefused,
    Unavailable,
    UnknownVersion,
    from_payload,
)
from autodeploy_magic.metrics import Totals, totals
from autodeploy_magic.serve.road import Listed

__all__ = ["Kept"]

SILENCE_S = 20.0
"""The supervisor says something every two seconds while it works."""


class Supervisor(msgspec.Struct, frozen=True):
    """What of `supervisor.json` it takes to call."""

    socket: str
    token: str


class Kept:
    """The versions in a deployment's folder; see `road.Repository`.

    `versions` is the folder that holds them, `metrics` the file of what they answered, and `supervisor` the one that
    tells how to reach the supervisor. `here` gives the numbers that this worker answers for, and those that it could
    not load, with why.
    """

    def __init__(
        self,
        name: str,
        *,
        versions: Path,
        metrics: Path,
        supervisor: Path,
        here: Callable[[], tuple[set[int], Mapping[int, AutodeployError]]],
    ) -> None:
        self._name = name
        self._versions = versions
        self._metrics = metrics
        self._supervisor = supervisor
        self._here = here

    async def index(self) -> list[Listed]:
        """All versions kept, oldest first."""
        numbers = await asyncio.to_thread(self._numbers)
        ready, left_out = self._here()
        return [
            Listed(number, number in ready, left_out[number].what if number in left_out else "") for number in numbers
        ]

    async def load(self, numbers: Sequence[int]) -> None:
        """Have every worker answer for these versions besides the champion, and for no others."""
        await asyncio.to_thread(self._ask, sorted(set(numbers)))

    async def statistics(self) -> Mapping[int, Totals]:
        """What each version answered since it was first served, by its number, over all workers."""
        return await asyncio.to_thread(totals, self._metrics)

    def _numbers(self) -> list[int]:
        found = [file.parent.name for file in self._versions.glob("[0-9]*/version.json")]
        return sorted(int(name) for name in found if name.isdigit())

    def _ask(self, numbers: list[int]) -> None:
        try:
            supervisor = msgspec.json.decode(self._supervisor.read_bytes(), type=Supervisor)
            answer = _post(supervisor, f"/deployments/{self._name}/traffic", {"loaded": numbers})
        except (OSError, HTTPException, msgspec.DecodeError) as error:
            raise Unavailable(
                "versions cannot be loaded now",
                why=f"the supervisor of this deployment does not answer ({type(error).__name__})",
                fix="ask its owner to call it, for example with `%deploy status`, and try again",
            ) from error
        if "error" in answer:
            raise _refused(from_payload(answer["error"]))


class _Connection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=SILENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SILENCE_S)
        self.sock.connect(self._path)


def _post(supervisor: Supervisor, path: str, body: Any) -> dict[str, Any]:
    """Make a call and return its last line: {"result": …} or {"error": …}."""
    connection = _Connection(supervisor.socket)
    try:
        connection.request("POST", path, msgspec.json.encode(body), {"authorization": f"Bearer {supervisor.token}"})
        response = connection.getresponse()
        if response.status != 200:
            raise HTTPException(f"HTTP {response.status}")
        while line := response.readline():
            message = msgspec.json.decode(line, type=dict[str, Any])
            if "result" in message or "error" in message:
                return message
        raise HTTPException("it ended in the middle of the call")
    finally:
        connection.close()


def _refused(error: AutodeployError) -> RequestRefused:
    """The supervisor's error in the words of a request's refusal."""
    if isinstance(error, UnknownVersion):
        return NotFound(error.what, why=error.why, fix=error.fix)
    if isinstance(error, InvalidOption):
        return InvalidInputs(error.what, why=error.why, fix=error.fix)
    return Unavailable(error.what, why=error.why, fix=error.fix)
