"""`lambda`: the worker in AWS Lambda. What the runtime API hands out is asked of our own port, on loopback.

Over HTTP, and not by calling the app: so an event meets the very server, limits, drain and records that a request meets
elsewhere, and costs a fifth of a millisecond more. The connection stays; the environment may be frozen between two
events, and where the server has closed the connection meanwhile, it is made again.

Told to end, it asks for no further event. The server ends at once where none is under way, else once its answer is sent
(or `drain_s` has passed).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

import msgspec

from autodeploy_magic.errors import AutodeployError, InvalidInputs, TimedOut
from autodeploy_magic.serve.alone.aws_events import Answered, Asked, asked
from autodeploy_magic.serve.alone.environment import Given
from autodeploy_magic.serve.alone.folder import state_folder, token_file
from autodeploy_magic.serve.alone.inside import wait_until_it_serves
from autodeploy_magic.serve.alone.order import make_order, read_version
from autodeploy_magic.serve.alone.runtime_api import Invocation, RuntimeApi, runtime_api, tell_of_start
from autodeploy_magic.serve.alone.serving import serve_here

__all__ = ["serve_lambda"]

log = logging.getLogger(__name__)

SPARE_S = 0.3
"""So long before Lambda's deadline an answer is given up: a client is told in our words, and the environment lives."""
ENDS_S = 5.0
"""For the signal that this process has sent to itself to arrive."""
_TRACE = "_X_AMZN_TRACE_ID"


def serve_lambda(given: Given) -> int:
    """Answer invocations until the environment ends. Raises `AutodeployError` for what can be known before."""
    api = runtime_api()
    version = read_version(given.model)
    state = state_folder(given.state)
    file = given.token_file or (str(token_file(state, given.token)) if given.token else "")
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    spec = make_order(given, version, state, token_file=file, tls="")
    failed: list[BaseException] = []
    end = _End()

    def answer(channel: socket.socket) -> None:
        try:
            wait_until_it_serves(channel)
        except AutodeployError as error:
            failed.append(error)
            tell_of_start(error)
            return
        loop = _Loop(api, port)
        try:
            while invocation := api.next(end.told):
                loop.answer(invocation)
        except (OSError, HTTPException) as error:  # Lambda is gone, or does not mean us any more
            failed.append(error)
            log.error("the runtime API does not answer: %s", error)
            if not end.is_told():
                os.kill(os.getpid(), signal.SIGTERM)
        loop.close()
        end.asked_all()

    code = serve_here(spec, [listening], answer, end.leave)
    return 1 if failed else code


class _End:
    """How the server that is told to end, and the thread that asks it, wait for one another. It is there until the
    process ends.

    `told` has something to read once the server is told.
    """

    def __init__(self) -> None:
        self.told, self._tell = socket.socketpair()
        self._go_on: Callable[[], object] = lambda: None
        self._is_told = threading.Event()

    def leave(self, go_on: Callable[[], object]) -> None:
        """The server is told to end, and waits for `go_on`."""
        self._go_on = go_on
        self._is_told.set()
        self._tell.sendall(b"\n")

    def is_told(self) -> bool:
        return self._is_told.is_set()

    def asked_all(self) -> None:
        """Nothing is asked of the server any more."""
        self._is_told.wait(ENDS_S)
        with contextlib.suppress(RuntimeError):  # its loop is closed: it did not wait any longer
            self._go_on()


class _Loop:
    """Asks the server on `port`, one invocation after the other."""

    def __init__(self, api: RuntimeApi, port: int) -> None:
        self._api = api
        self._port = port
        self._connection = HTTPConnection("127.0.0.1", port)

    def close(self) -> None:
        """Nothing is asked any more."""
        self._connection.close()

    def answer(self, invocation: Invocation) -> None:
        """Answer one invocation, whatever it is."""
        if invocation.trace:
            os.environ[_TRACE] = invocation.trace
        try:
            request = asked(msgspec.json.decode(invocation.event))
            value = request.word(self._ask(request, invocation))
            self._api.answer(invocation, msgspec.json.encode(value))
        except msgspec.DecodeError as error:
            self._api.fail(invocation, "InvalidInputs", f"the event is not JSON: {error}")
        except InvalidInputs as error:
            self._api.fail(invocation, "InvalidInputs", str(error))

    def _ask(self, request: Asked, invocation: Invocation) -> Answered:
        try:
            return self._sent(request, invocation)
        except TimeoutError:
            self._connection.close()
            late = TimedOut(
                "the request was not answered before the function's deadline", fix="send fewer rows, or raise it"
            )
            body = {"error": "TimedOut", "message": late.what, "fix": late.fix, "id": invocation.id}
            return Answered(late.status, [("content-type", "application/json")], msgspec.json.encode(body))

    def _sent(self, request: Asked, invocation: Invocation) -> Answered:
        kept = self._connection.sock is not None
        try:
            return self._once(request, invocation)
        except TimeoutError:
            raise
        except (OSError, HTTPException):
            self._connection.close()
            if not kept:
                raise
            return self._once(request, invocation)  # the server had closed the connection, as it may

    def _once(self, request: Asked, invocation: Invocation) -> Answered:
        connection = self._connection
        within_s = max(0.05, invocation.left_s - SPARE_S)
        connection.timeout = within_s
        if connection.sock is not None:
            connection.sock.settimeout(within_s)
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        if not any(name == "host" for name, _ in request.headers):
            connection.putheader("host", "localhost")
        for name, value in request.headers:
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(request.body)))
        connection.endheaders(request.body)
        response = connection.getresponse()
        return Answered(response.status, response.getheaders(), response.read())
