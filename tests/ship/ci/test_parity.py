"""What a rebuilt version is asked, where it serves by HTTPS with a certificate of its own."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import certificates
import pytest

from autodeploy_magic import tls
from autodeploy_magic.ship.ci.scripts.parity import ask


class Handler(BaseHTTPRequestHandler):
    """Answers with the token that it was sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"predictions": [self.headers["authorization"]]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An address that answers; the certificate that it made lies in `tmp_path`, where a deployment's would."""
    chain, trusted = tls.made_files(tmp_path)
    key = certificates.new_key()
    made = certificates.certificate(key, ["127.0.0.1"])
    certificates.write(chain, made, key)
    certificates.write(trusted, made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    serving = HTTPServer(("127.0.0.1", 0), Handler)
    serving.socket = context.wrap_socket(serving.socket, server_side=True)
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_a_certificate_of_its_own_is_trusted_and_no_other(server: str, tmp_path: Path) -> None:
    assert ask(server, "t", [[1]], tmp_path / "certificate.pem") == ["Bearer t"]
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(server, "t", [[1]], tmp_path / "none.pem")
    other = certificates.new_key()
    certificates.write(tmp_path / "other.pem", certificates.certificate(other, ["127.0.0.1"]))
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(server, "t", [[1]], tmp_path / "other.pem")
