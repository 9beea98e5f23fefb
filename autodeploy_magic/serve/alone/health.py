"""`health`: whether the server on this machine is ready, for the HEALTHCHECK of an image. It runs every few seconds.

So it is made of sockets alone: importing an HTTP client would take more time than asking.
"""

from __future__ import annotations

import os
import socket
import sys

from autodeploy_magic.serve.alone.ports import noted_address

__all__ = ["main"]

TIMEOUT_S = 3.0


def main() -> int:
    """0 where `/readyz` is answered with 200, else 1 and a line that says why."""
    try:
        host, port, scheme = noted_address(os.environ)
        status = _status(host, port, scheme)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"not ready: {error}\n")
        return 1
    if status == b"200":
        return 0
    sys.stderr.write(f"not ready: {status.decode('latin-1') or 'no answer'}\n")
    return 1


def _status(host: str, port: int, scheme: str) -> bytes:
    connection = socket.create_connection((host, port), TIMEOUT_S)
    with connection:
        if scheme == "https":
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # whether the certificate is good is for clients to say
            context.verify_mode = ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        line = connection.recv(4096)
        connection.close()
    return line[9:12]
