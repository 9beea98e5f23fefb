"""One keep-alive connection to a deployment, for each thread that calls it."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic import errors, tls
from autodeploy_magic.address import Address
from autodeploy_magic.errors import AutodeployError, ModelFailed, RequestRefused, StartFailed

__all__ = ["ANSWER_TIMEOUT_S", "Connection"]

ANSWER_TIMEOUT_S = 120.0
"""How long one answer may take. A model slower than this wants smaller requests."""
_EVENTS = "text/event-stream"


class Connection:
    """JSON over HTTP to one deployment, with its token. Safe to use from several threads.

    Without a `token` none is sent. Over HTTPS the server is verified against what the file `trusted` holds. An answer
    may take `timeout_s`.
    """

    def __init__(
        self,
        name: str,
        address: Address,
        token: str,
        *,
        trusted: Path | None = None,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.url = address.url
        self.token = token
        self._name = name
        self._address = address
        self._trusted = trusted
        self._timeout_s = timeout_s
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._local = threading.local()

    def post(self, path: str, body: Any) -> dict[str, Any]:
        """Send `body` as JSON and return the answer.

        A connection that the server closed while it was idle, as a worker does that is being replaced, is opened anew
        once. Raises the `RequestRefused` that the server meant, or `StartFailed` where nobody answers.
        """
        __tracebackhide__ = True
        data = msgspec.json.encode(body)
        try:
            path = self._address.path + path
            with self._explained():
                try:
                    status, answer = self._exchange(path, data)
                except (http.client.BadStatusLine, BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                    self.close()
                    status, answer = self._exchange(path, data)
        except BaseException:  # an interrupted exchange leaves half an answer on the connection
            self.close()
            raise
        return _read(status, answer)

    def stream(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """Send `body` as JSON and yield what the events of the answer say, as they come, over a connection of its own.

        Leaving the loop closes it, and the server stops. Raises as `post` does, also in the middle.
        """
        data = msgspec.json.encode(body)
        connection = self._opened()
        try:
            with self._explained():
                headers = {**self._headers, "accept": _EVENTS}
                connection.request("POST", self._address.path + path, data, headers)
                response = connection.getresponse()
                if response.status != 200 or response.getheader("content-type") != _EVENTS:
                    _read(response.status, response.read())
                    raise ModelFailed(f"{self._name} answered without a stream", fix="call predict instead")
            while True:
                with self._explained():
                    name, said = _event(response)
                if name == "end":
                    return
                if name == "error":
                    raise _refused(said, "the stream broke off")
                yield said
        finally:
            connection.close()

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Let what can go wrong with a connection be said in a person's words."""
        __tracebackhide__ = True
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise StartFailed(
                f"the certificate of {self._name} at {self.url} is not to be trusted",
                why=error.verify_message,
                fix=f"`%deploy restart {self._name}` makes one anew that has ended; yours is `%deploy … --tls FILE`",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise StartFailed(
                f"{self._name} does not answer at {self.url}",
                why=f"{type(error).__name__}: {error}",
                fix=f"`%deploy status {self._name}` says how it is; `%deploy start {self._name}` starts it",
            ) from error

    def _opened(self) -> http.client.HTTPConnection:
        # Read at each new connection: the certificate may have been made anew meanwhile.
        context = tls.client_context(self._trusted) if self._trusted is not None else None
        return _Closing(self._address, context, self._timeout_s)

    def _exchange(self, path: str, data: bytes) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._opened()
            self._local.connection = connection
        connection.request("POST", path, data, self._headers)
        response = connection.getresponse()
        return response.status, response.read()


class _Closing(http.client.HTTPConnection):
    """Closes its socket with its thread, or with the handle that held it: nobody closes a handle by hand.

    It connects to the address and calls it by its name, whether or not that name is known to this machine.
    """

    def __init__(self, address: Address, context: ssl.SSLContext | None, timeout_s: float) -> None:
        super().__init__(address.name, address.port, timeout=timeout_s)
        self._where = (address.host, address.port)
        self._context = context

    def connect(self) -> None:
        self.sock = socket.create_connection(self._where, self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)

    def __del__(self) -> None:
        self.close()


def _event(response: http.client.HTTPResponse) -> tuple[str, dict[str, Any]]:
    """The next event: its name, "" for an item, and what it says. Raises `IncompleteRead` at an end without one."""
    name = ""
    while line := response.readline():
        field, _, value = line.rstrip(b"\r\n").partition(b": ")
        if field == b"event":
            name = value.decode()
        elif field == b"data":
            said: dict[str, Any] = msgspec.json.decode(value)
            return name, said
    raise http.client.IncompleteRead(b"")


def _read(status: int, data: bytes) -> dict[str, Any]:
    __tracebackhide__ = True
    try:
        answer = msgspec.json.decode(data)
    except msgspec.DecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ModelFailed(f"the answer (HTTP {status}) is not one of this package's", why=data[:200].decode("latin-1"))
    if status == 200:
        return answer
    raise _refused(answer, f"HTTP {status}")


def _refused(answer: dict[str, Any], otherwise: str) -> AutodeployError:
    """What the server meant."""
    kind = getattr(errors, str(answer.get("error")), None)
    known = isinstance(kind, type) and issubclass(kind, RequestRefused)
    field = {"field": answer["field"]} if answer.get("field") else {}
    refused: type[AutodeployError] = kind if known and kind is not None else RequestRefused
    return refused(
        str(answer.get("message", otherwise)),
        why=str(answer.get("why", "")),
        fix=str(answer.get("fix", "")),
        id=answer.get("id"),
        **field,
    )
