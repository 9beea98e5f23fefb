"""Receivers of alerts: HTTP servers and mail servers that take, refuse, hang, and point elsewhere; and what is sent."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from autodeploy_magic.contracts import Desired
from autodeploy_magic.health import Alert, Severity
from autodeploy_magic.operate.alert.line import Pace

BRISK = Pace(wait_s=0.0, interval_s=0.0, tries=3, deadline_s=10.0, pause_s=0.01)
"""Without the pauses that are for people."""


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An HTTP server that answers with `answers`, one after the other, and then with the last of them."""

    def __init__(self, answers: tuple[int, ...] = (200,), context: ssl.SSLContext | None = None) -> None:
        self.got: queue.Queue[Got] = queue.Queue()
        left = list(answers)
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got.put(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "4")
                self.end_headers()
                self.wfile.write(b"said")

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if context is not None else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/hook?key=secret"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


class Deaf:
    """Takes connections, and with `drip` a byte of an answer now and then, but never answers."""

    def __init__(self, *, drip: bytes = b"") -> None:
        self._drip = drip
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.reached = threading.Event()
        self._end = threading.Event()
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while not self._end.is_set():
                held, _ = self._listening.accept()
                self._held.append(held)
                self.reached.set()
                with contextlib.suppress(OSError):
                    while self._drip and not self._end.wait(0.02):
                        held.sendall(self._drip)

    def close(self) -> None:
        self._end.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        for held in [self._listening, *self._held]:
            held.close()


class Letters:
    """What a mail server does with letters: it takes them, or answers as it is told."""

    def __init__(self, answer: str = "250 OK") -> None:
        self.got: queue.Queue[Any] = queue.Queue()
        self.answer = answer
        self.logins: list[tuple[bytes, bytes]] = []
        self.refuses: set[str] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.refuses:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.got.put(envelope)
        return self.answer

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        from aiosmtpd.smtp import AuthResult

        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


def desired(**settings: Any) -> Desired:
    return Desired(name="iris", version=1, executable="python", port=8000, settings=settings)


def alert(rule: str = "latency", severity: Severity = "warning", **more: Any) -> Alert:
    given = {"text": f"{rule} is too much", "detector": "slo", "metric": "p99", "since_s": 1_760_000_000.0}
    return Alert(**{"id": f"id-{rule}", "name": "iris", "rule": rule, "severity": severity, **given, **more})
