"""What of a request's and an answer's headers goes through the proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus, urljoin, urlsplit

from tornado.httputil import HTTPHeaders

from autodeploy_magic.address import Address

__all__ = ["to_browser", "to_deployment", "without_ours"]

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
"""Of one connection, not of the message (RFC 9110, 7.6.1), as are those that `Connection` names."""

_NOT_TO_DEPLOYMENT = _HOP_BY_HOP | {
    "authorization",  # the proxy's to decide
    "content-length",
    "cookie",
    "expect",  # answered here
    "host",
    "origin",  # checked here; the deployment would take this server for a foreign one
    "referer",  # may name Jupyter's token
    "x-csrftoken",
    "x-xsrftoken",
}
_NOT_TO_BROWSER = _HOP_BY_HOP | {
    # Each would hold for this server as a whole, and not for what is below /proxy/NAME/ alone.
    "alt-svc",
    "clear-site-data",
    "refresh",
    "server",
    "service-worker-allowed",
    "set-cookie",
    "strict-transport-security",
}
_OF_JUPYTER = ("token", "_xsrf", "no_track_activity")


def without_ours(query: str) -> str:
    """A query without what was meant for Jupyter, and else as it was."""
    parts = [part for part in query.split("&") if part and unquote_plus(part.partition("=")[0]) not in _OF_JUPYTER]
    return "&".join(parts)


def to_deployment(headers: HTTPHeaders, address: Address, authorization: str, *, body: bool) -> HTTPHeaders:
    """The headers of the request to the deployment. `body` says whether its method means one to come."""
    found = HTTPHeaders({"Host": address.authority, "Connection": "close"})
    if authorization:
        found["Authorization"] = authorization
    if "Transfer-Encoding" not in headers and (body or "Content-Length" in headers):
        found["Content-Length"] = headers.get("Content-Length", "0")
    dropped = _NOT_TO_DEPLOYMENT | _nominated(headers)
    for name, value in headers.get_all():
        if name.lower() not in dropped and not name.lower().startswith("sec-"):
            found.add(name, value)
    return found


def to_browser(headers: HTTPHeaders, address: Address, path: str, prefix: str) -> Iterator[tuple[str, str]]:
    """The headers of the answer to a request for `path`; `prefix` is what the deployment's paths have before them."""
    dropped = _NOT_TO_BROWSER | _nominated(headers)
    for name, value in headers.get_all():
        if name.lower() in dropped or name.lower().startswith("access-control-"):
            continue
        if name.lower() in ("location", "content-location"):
            inside = _inside(value, address, path, prefix)
            if inside:
                yield name, inside
        else:
            yield name, value


def _nominated(headers: HTTPHeaders) -> set[str]:
    return {name.strip().lower() for name in headers.get("Connection", "").split(",")}


def _inside(location: str, address: Address, path: str, prefix: str) -> str:
    """Where it is below `prefix`; "" where it leads away from the deployment.

    Browsers take a backslash for a slash, and %2e for a dot.
    """
    plain = re.sub("%2e", ".", location.strip().replace("\\", "/"), flags=re.IGNORECASE)
    found = urlsplit(urljoin(f"{address.url}{path}", plain))
    if f"{found.scheme}://{found.netloc}".lower() != address.url.lower():
        return ""
    kept = urlsplit(urljoin(address.url, found.path or "/")).path  # ".." leads no higher than to the deployment's root
    return (
        f"{prefix}{kept}"
        + (f"?{found.query}" if found.query else "")
        + (f"#{found.fragment}" if found.fragment else "")
    )
