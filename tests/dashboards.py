"""A dashboard that answers as one of a real Ray cluster did: its states were recorded from Ray 2.60."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

__all__ = ["Recorded", "recorded"]

RECORDED = Path(__file__).parent / "ship" / "ray" / "recorded"
_APPLICATIONS = "/api/serve/applications/"


def recorded(name: str) -> dict[str, Any]:
    """What GET /api/serve/applications/ gave."""
    found: dict[str, Any] = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    return found


class Recorded:
    """A server. What is declared is as `outcome` says at once: its status, and the message with it."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.state: dict[str, Any] = recorded("nothing")
        self.outcome = ("RUNNING", "")
        self.put: list[dict[str, Any]] = []
        self.packages: dict[str, bytes] = {}
        self.uploads = 0
        self.cleared = False
        self.serve = self.dashboard = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Do what the dashboard does."""
        if not self.dashboard:
            return 200, b"<html>somebody else</html>"
        if path == "/api/version":
            return 200, b'{"version": "4", "ray_version": "2.60.0", "ray_commit": "0", "session_name": "session"}'
        if path.startswith("/api/packages/"):
            if method == "GET":
                return (200, b"") if path in self.packages else (404, b"Package does not exist")
            self.packages[path] = body
            self.uploads += 1
            return 200, b""
        if path != _APPLICATIONS:
            return 404, b"404: Not Found"
        if not self.serve:
            return 501, b"Serve dependencies are not installed."
        if method == "GET":
            return 200, json.dumps(self.state).encode()
        if method == "DELETE":
            self.cleared = True
            self.state = recorded("nothing")
            return 200, b""
        self._declare(json.loads(body))
        return 200, b""

    def _declare(self, wanted: dict[str, Any]) -> None:
        self.put.append(wanted)
        now = self.state["applications"]
        listed = {one["name"]: one for one in wanted["applications"]}
        for name in [name for name, found in now.items() if found.get("source") == "declarative"]:
            if name not in listed:
                del now[name]
        for name, config in listed.items():
            if name in now and now[name]["deployed_app_config"] == config:
                continue
            status, message = self.outcome
            now[name] = {
                **recorded("both")["applications"]["iris"],
                "name": name,
                "route_prefix": config["route_prefix"],
                "deployed_app_config": config,
                "status": status,
                "message": message,
            }
        self.state.setdefault("http_options", {**wanted["http_options"], "root_path": ""})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                given = self.headers.get("authorization", "")
                if server.token and not given:
                    status, answer = 401, b"Unauthorized: Missing authentication token"
                elif server.token and given != f"Bearer {server.token}":
                    status, answer = 403, b"Forbidden: Invalid authentication token"
                else:
                    status, answer = server.answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_DELETE = _any  # noqa: N815 - names of the library's

            def log_message(self, *_: object) -> None:
                pass

        return Handler
