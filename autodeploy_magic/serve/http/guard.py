"""Who may ask: the token, the host that a request names, and the pages of other origins that may read answers.

A browser can be made to send requests here by any page it shows. The token keeps those out, since no page knows it.
Where none is asked for, what the browser itself says does: the page's origin, and the host, since a page that rebinds
its own name to 127.0.0.1 still names itself. CORS is closed unless the setting `origins` opens it, and never admits
cookies.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest

from autodeploy_magic.errors import Forbidden, InvalidOption, Misdirected, Unauthorized
from autodeploy_magic.serve.owner import token
from autodeploy_magic.serve.protocols import Answer

__all__ = ["Guard"]

Headers = Sequence[tuple[bytes, bytes]]

_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^\[\]:/?#@,\s]+)(?::\d*)?")
_PORT = re.compile(r":\d+$")
_NAME = re.compile(r"(?:\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+|null")
_REMEMBERED_HOSTS = 16
_PREFLIGHT_METHODS = (b"GET", b"POST", b"HEAD")
_PREFLIGHT_ANSWER: Headers = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, inference-header-content-length"),
    (b"access-control-max-age", b"600"),
)
_EXPOSED = (b"access-control-expose-headers", b"x-request-id")
_VARIES = (b"vary", b"origin")


class Guard:
    """The checks of one worker's port.

    Headers are given by their names in lower case. Where one came twice, the caller refuses the request or joins the
    values with a comma, as HTTP has it: a joined Host or Authorization fits nothing.

    `tokens` are all good, so that a new one can come before the old one goes; with none, no token is asked for.
    `hosts` and `origins` are the settings: names with a comma between, `*` for any, `*.example.org` for any below it.
    `unknown`, if it is set, is called when a token does not fit, and may set `tokens` before it is looked at again.
    Raises `InvalidOption` for a host or an origin that no request could ever have.
    """

    def __init__(self, *, tokens: Sequence[str], hosts: str = "", origins: str = "") -> None:
        self.tokens = tokens
        self.unknown: Callable[[], None] | None = None
        self._hosts, self._any_host = _hosts(hosts)
        self._origins = _origins(origins)
        self._good_hosts: set[bytes] = set()

    @property
    def tokens(self) -> Sequence[str]:
        """The tokens that are good now."""
        return self._tokens

    @tokens.setter
    def tokens(self, tokens: Sequence[str]) -> None:
        if not all(tokens):
            raise ValueError("an empty token would let everybody in")
        self._tokens = tuple(tokens)
        # Nearly all clients write it like this, and are spared the taking apart.
        self._expected = [b"Bearer " + token.encode() for token in self._tokens]

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return bool(self._tokens)

    def authorize(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise `Unauthorized` unless a good token came along. A nearly right one takes as long as any other.

        Where no token is asked for, raise `Forbidden` for what a page of another origin sends.
        """
        given = headers.get(b"authorization", b"")
        for expected in self._expected:
            if compare_digest(given, expected):
                return
        if self._expected:
            self._authorize_other(given)
        elif b"origin" in headers:
            self._check_origin(headers)

    def check_host(self, headers: Mapping[bytes, bytes], *, http_version: str = "1.1") -> None:
        """Raise `Misdirected` unless the request names a host that can only mean this deployment.

        IP addresses, `localhost` and names below it, and what `hosts` lists, each with any port. Only HTTP/1.0 requests
        may do without.
        """
        if headers.get(b"host") not in self._good_hosts:
            self._check_other_host(headers.get(b"host"), http_version)

    def cors(self, headers: Mapping[bytes, bytes]) -> Headers:
        """The headers that let a page of an allowed origin read the answer; none where CORS is closed.

        They belong on every answer: on refusals, or the page cannot tell why, and on the one to a preflight.
        """
        if not self._origins:
            return ()
        if b"*" in self._origins:
            return ((b"access-control-allow-origin", b"*"), _EXPOSED)
        origin = headers.get(b"origin", b"")
        # A cache must not give one origin what was answered to another, nor to none.
        return ((b"access-control-allow-origin", origin), _EXPOSED, _VARIES) if origin in self._origins else (_VARIES,)

    def preflight(self, method: str, headers: Mapping[bytes, bytes]) -> Answer | None:
        """The answer to a browser that asks whether an allowed origin may send what it wants to, else None.

        The browser asks without the token, which the request itself then brings. `cors` is to be added.
        """
        if method != "OPTIONS" or not self._origins or b"origin" not in headers:
            return None
        if headers.get(b"access-control-request-method") not in _PREFLIGHT_METHODS:
            return None
        if b"*" not in self._origins and headers[b"origin"] not in self._origins:
            return None
        return Answer(b"", content_type="text/plain", headers=_PREFLIGHT_ANSWER)

    def _authorize_other(self, given: bytes) -> None:
        """Look at a token in its long form; where it does not fit, ask `unknown` and look again."""
        if self._fits(given):
            return
        if self.unknown is not None:
            self.unknown()
            if self._fits(given):
                return
        raise Unauthorized(
            "the bearer token is missing or wrong",
            fix=f"send the header «Authorization: Bearer TOKEN»; the owner finds the token in {token()}",
        )

    def _check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        origin = headers[b"origin"]
        own = origin.partition(b"://")[2] == headers.get(b"host")
        if not own and origin not in self._origins and b"*" not in self._origins:
            raise Forbidden(
                f"pages of {origin.decode('latin-1')[:200]!r} may not call this deployment",
                why="it asks for no token, and a browser sends what any page tells it to",
                fix="list the origin in AUTODEPLOY_ORIGINS and restart the deployment, or let it ask for the token",
            )

    def _fits(self, given: bytes) -> bool:
        scheme, _, credentials = given.partition(b" ")
        normal = b"Bearer " + credentials.strip()
        found = False
        for expected in self._expected:
            found |= compare_digest(normal, expected)
        return found and scheme.lower() == b"bearer"

    def _check_other_host(self, given: bytes | None, http_version: str) -> None:
        if given is None:
            if http_version == "1.0":
                return
            raise Misdirected("the request names no host", fix="send one Host header, as HTTP/1.1 asks for")
        text = given.decode("latin-1").strip().lower()
        match = _AUTHORITY.fullmatch(text)
        if match is None or not self._known(match[1].removesuffix(".")):
            raise Misdirected(
                f"this deployment does not answer to the host {text[:200]!r}",
                why="a page that rebinds its own name to this address must not reach it",
                fix="use the IP address or localhost, or list the name in AUTODEPLOY_HOSTS and restart the deployment",
            )
        if len(self._good_hosts) >= _REMEMBERED_HOSTS:
            self._good_hosts.clear()
        self._good_hosts.add(given)

    def _known(self, host: str) -> bool:
        if self._any_host or host == "localhost" or host.endswith(".localhost") or host in self._hosts:
            return True
        if any(listed.startswith("*.") and host.endswith(listed[1:]) for listed in self._hosts):
            return True
        try:
            literal = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return (literal.version == 6) == host.startswith("[")


def _listed(text: str) -> list[str]:
    return [item.strip().lower() for item in text.split(",") if item.strip()]


def _hosts(text: str) -> tuple[frozenset[str], bool]:
    """What the setting lists, without ports and final dots; and whether it lets any host pass."""
    found = [_PORT.sub("", item).removesuffix(".") for item in _listed(text)]
    for item in found:
        if item != "*" and not _NAME.fullmatch(item):
            raise InvalidOption(
                f"AUTODEPLOY_HOSTS lists {item!r}, which is not the name of a host",
                why="IP addresses pass anyhow; a name may begin with *. for all below it, and * alone lets any pass",
                fix="list names with a comma between: AUTODEPLOY_HOSTS=models.example.org,*.example.net",
            )
    return frozenset(found), "*" in found


def _origins(text: str) -> frozenset[bytes]:
    found = [item.removesuffix("/") for item in _listed(text)]
    for item in found:
        if item != "*" and not _ORIGIN.fullmatch(item):
            raise InvalidOption(
                f"AUTODEPLOY_ORIGINS lists {item!r}, which is not an origin",
                why="a browser names an origin by scheme, host and port, without a path",
                fix="list origins with a comma between: AUTODEPLOY_ORIGINS=https://app.example.org,http://localhost:3000",
            )
    return frozenset(item.encode() for item in found)
