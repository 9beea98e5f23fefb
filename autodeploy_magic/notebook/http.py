"""One keep-alive connection to a deployment, for each thread that calls it."""

from __future__ import annotations

import http.client
import threading
from typing import Any
from urllib.parse import urlsplit

import msgspec

from autodeploy_magic import errors
from autodeploy_magic.errors import AutodeployError, ModelFailed, RequestRefused, StartFailed

__all__ = ["Connection"]

ANSWER_TIMEOUT_S = 120.0
"""How long one answer may take. A model slower than this wants smaller requests."""


class Connection:
    """JSON over HTTP to one deployment, with its token. Safe to use from several threads."""

    def __init__(self, name: str, url: str, token: str) -> None:
        self.url = url
        self._name = name
        self._address = urlsplit(url)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._local = threading.local()

    def post(self, path: str, body: Any) -> dict[str, Any]:
        """Send `body` as JSON and return the answer.

        A connection that the server closed while it was idle, as a worker does that is being replaced, is opened anew
        once. Raises the `RequestRefused` that the server meant, or `StartFailed` where nobody answers.
        """
        __tracebackhide__ = True
        data = msgspec.json.encode(body)
        try:
            try:
                status, answer = self._exchange(path, data)
            except (http.client.BadStatusLine, BrokenPipeError, ConnectionResetError):
                self.close()
                status, answer = self._exchange(path, data)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise StartFailed(
                f"{self._name} does not answer at {self.url}",
                why=f"{type(error).__name__}: {error}",
                fix=f"`%deploy status {self._name}` says how it is; `%deploy start {self._name}` starts it",
            ) from error
        except BaseException:  # an interrupted exchange leaves half an answer on the connection
            self.close()
            raise
        return _read(status, answer)

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _exchange(self, path: str, data: bytes) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            host, port = self._address.hostname or "", self._address.port
            connection = _Closing(host, port, timeout=ANSWER_TIMEOUT_S)
            self._local.connection = connection
        connection.request("POST", path, data, self._headers)
        response = connection.getresponse()
        return response.status, response.read()


class _Closing(http.client.HTTPConnection):
    """Closes its socket with its thread, or with the handle that held it: nobody closes a handle by hand."""

    def __del__(self) -> None:
        self.close()


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
    kind = getattr(errors, str(answer.get("error")), None)
    known = isinstance(kind, type) and issubclass(kind, RequestRefused)
    field = {"field": answer["field"]} if answer.get("field") else {}
    refused: type[AutodeployError] = kind if known and kind is not None else RequestRefused
    raise refused(
        str(answer.get("message", f"HTTP {status}")),
        why=str(answer.get("why", "")),
        fix=str(answer.get("fix", "")),
        id=answer.get("id"),
        **field,
    )
