"""AWS Lambda's runtime API: the next invocation, its answer, and what went wrong.

Source: docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

import msgspec

from autodeploy_magic.errors import AutodeployError, StartFailed

__all__ = ["ADDRESS", "Invocation", "RuntimeApi", "runtime_api", "tell_of_start"]

log = logging.getLogger(__name__)

ADDRESS = "AWS_LAMBDA_RUNTIME_API"
_ROOT = "/2018-06-01/runtime"
_TOO_LARGE = 413
ANSWER_S = 30.0


@dataclass(frozen=True)
class Invocation:
    """One event. `deadline` is in seconds since the epoch."""

    id: str
    event: bytes
    deadline: float
    trace: str = ""

    @property
    def left_s(self) -> float:
        return self.deadline - time.time()


class RuntimeApi:
    """Speaks to the API of this environment. Raises `OSError` or `HTTPException` where it is not there."""

    def __init__(self, address: str) -> None:
        self._address = address
        # Waiting for the next event has no end; while it waits, the environment may be frozen.
        self._connection = HTTPConnection(address)

    def next(self, until: socket.socket) -> Invocation | None:
        """Wait for an invocation; None where `until` has something to read, and none has come by then."""
        if _readable(until, within_s=0):
            return None
        try:
            self._send("GET", "/invocation/next")
            come = _readable(self._connection.sock, until)
            if self._connection.sock not in come:
                self._connection.close()  # Lambda takes who hangs up for one that has ended, and hands out nothing
                return None
            status, headers, body = self._heard()
        except (OSError, HTTPException):
            self._connection.close()
            raise
        if status != 200:
            raise HTTPException(f"the runtime API answered {status} where an invocation was asked for")
        try:
            deadline = float(headers.get("lambda-runtime-deadline-ms", "")) / 1000
        except ValueError:
            deadline = time.time() + ANSWER_S
        request_id = headers.get("lambda-runtime-aws-request-id", "")
        return Invocation(request_id, body, deadline, headers.get("lambda-runtime-trace-id", ""))

    def answer(self, invocation: Invocation, body: bytes) -> None:
        """Give the answer. One that is too large for Lambda becomes an error."""
        status, _, said = self._ask("POST", f"/invocation/{invocation.id}/response", body)
        if status == _TOO_LARGE:
            self.fail(
                invocation, "Function.ResponseSizeTooLarge", f"the answer has {len(body)} bytes, and Lambda's limit"
            )
        elif status >= 300:
            log.error("the runtime API did not take the answer: %d %s", status, said[:500].decode("utf-8", "replace"))

    def fail(self, invocation: Invocation, kind: str, message: str) -> None:
        """Say that an invocation cannot be answered."""
        self._tell(f"/invocation/{invocation.id}/error", kind, message)

    def fail_to_start(self, kind: str, message: str) -> None:
        """Say that no invocation can be answered."""
        self._tell("/init/error", kind, message)

    def _tell(self, path: str, kind: str, message: str) -> None:
        body = {"errorMessage": message, "errorType": kind, "stackTrace": []}
        headers = {"lambda-runtime-function-error-type": kind}
        status, _, said = self._ask("POST", path, msgspec.json.encode(body), headers)
        if status >= 300:
            log.error("the runtime API did not take the error: %d %s", status, said[:500].decode("utf-8", "replace"))

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        try:
            self._send(method, path, body, headers)
            return self._heard()
        except (OSError, HTTPException):
            self._connection.close()  # the next one begins anew
            raise

    def _send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> None:
        self._connection.request(method, _ROOT + path, body, {"content-type": "application/json", **(headers or {})})

    def _heard(self) -> tuple[int, dict[str, str], bytes]:
        response = self._connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, response.read()


def _readable(*sockets: socket.socket, within_s: float | None = None) -> list[socket.socket]:
    """Those of the sockets that have something to read, once one has; [] where none has by then."""
    poll = select.poll()  # of a descriptor of any number
    for each in sockets:
        poll.register(each, select.POLLIN)
    found = {number for number, _ in poll.poll(None if within_s is None else 1000 * within_s)}
    return [each for each in sockets if each.fileno() in found]


def tell_of_start(error: AutodeployError) -> None:
    """Tell Lambda why nothing will be answered, if it is there to be told."""
    address = os.environ.get(ADDRESS)
    if not address:
        return
    try:
        RuntimeApi(address).fail_to_start(f"Runtime.{type(error).__name__}", str(error))
    except (OSError, HTTPException) as unheard:
        log.error("the runtime API does not answer: %s", unheard)


def runtime_api() -> RuntimeApi:
    """The API of this environment. Raises `StartFailed` where there is none."""
    address = os.environ.get(ADDRESS)
    if not address:
        raise StartFailed(
            f"{ADDRESS} is not set",
            why="`lambda` is for AWS Lambda, which sets it",
            fix="leave the command out to serve over HTTP",
        )
    return RuntimeApi(address)
