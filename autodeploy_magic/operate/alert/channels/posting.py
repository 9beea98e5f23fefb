"""A body is posted by HTTP: certificates verified, nothing redirected, within a deadline."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import urllib.request
from urllib.parse import SplitResult, urlsplit

from autodeploy_magic.operate.alert.channels.base import Deadline, Undelivered, resolved

__all__ = ["host_of", "post"]

_AGAIN = (408, 425, 429)
_MOST_WAIT_S = 60.0


def host_of(target: str) -> str:
    """What tells an address from others and is no secret: the host, or the file that holds the address."""
    if target.startswith("file:"):
        return target
    try:
        return urlsplit(target).hostname or "?"
    except ValueError:
        return "?"


def post(target: str, body: bytes, headers: dict[str, str], deadline: Deadline) -> None:
    """Post JSON to the address that a target is, and return when it was taken: answered 2xx. Raises `Undelivered`."""
    url = _checked(resolved(target))
    connection = _connection(url, deadline)

    def cut() -> None:
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    host = url.hostname or ""
    headers = {"content-type": "application/json", "user-agent": "autodeploy_magic", **headers}
    try:
        with contextlib.closing(connection), deadline.cutting(cut):
            connection.connect()
            deadline.left_s  # noqa: B018 - raises where it passed while there was no socket to cut
            connection.request("POST", _path(url), body, headers)
            with connection.getresponse() as answer:
                _judge(host, answer)
    except ssl.SSLCertVerificationError as error:
        why = f"{host}: its certificate is not trusted: {error.verify_message}"
        raise Undelivered(why, again=False) from error
    except (OSError, http.client.HTTPException) as error:
        if deadline.passed or isinstance(error, TimeoutError):
            raise Undelivered(f"{host} did not answer in time") from error
        raise Undelivered(f"{host}: {str(error) or type(error).__name__}") from error


def _judge(host: str, answer: http.client.HTTPResponse) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        why = f"{host} answered {status} and points elsewhere; redirects are not followed: give the address itself"
        raise Undelivered(why, again=False)
    after_s = 0.0
    with contextlib.suppress(ValueError):
        after_s = min(_MOST_WAIT_S, max(0.0, float(answer.headers.get("retry-after", "0"))))
    said = " ".join(answer.read(200).decode("utf-8", "replace").split())
    again = status >= 500 or status in _AGAIN
    raise Undelivered(f"{host} answered {status} {answer.reason}: {said}".rstrip(": "), again=again, after_s=after_s)


def _checked(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        _ = url.port
    except ValueError as error:
        raise Undelivered(f"the address cannot be read: {error}", again=False) from error
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Undelivered("the address is not of the form https://host/path", again=False)
    if not address.isascii() or any(c <= " " or c == "\x7f" for c in address):
        raise Undelivered("the address has characters that no URL has", again=False)
    return url


def _path(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _connection(url: SplitResult, deadline: Deadline) -> http.client.HTTPConnection:
    """A connection that is not open yet; through the proxy of the environment (HTTPS_PROXY) where there is one."""
    host, secure, within_s = str(url.hostname), url.scheme == "https", deadline.left_s
    proxy = None if _is_local(host) else urllib.request.getproxies().get(url.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        through = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        if through.hostname:
            connection = _open(through.hostname, through.port, secure, within_s)
            connection.set_tunnel(host, url.port or (443 if secure else 80))
            return connection
    return _open(host, url.port, secure, within_s)


def _open(host: str, port: int | None, secure: bool, within_s: float) -> http.client.HTTPConnection:
    if secure:
        return http.client.HTTPSConnection(host, port, timeout=within_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=within_s)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
