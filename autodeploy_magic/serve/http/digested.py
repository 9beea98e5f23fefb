"""The guard of a port whose configuration others can read: it knows the tokens by their digests alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hmac import compare_digest

from autodeploy_magic.errors import Unauthorized
from autodeploy_magic.serve.http.guard import Guard
from autodeploy_magic.serve.owner import token
from autodeploy_magic.wire.digests import token_digest

__all__ = ["Digested"]


class Digested(Guard):
    """A guard that always asks for a token; with no `digests` none is good. See `wire.digests`.

    It answers to any host: a page that rebinds its own name has no token.
    """

    def __init__(self, *, digests: Sequence[str] = (), origins: str = "") -> None:
        super().__init__(tokens=(), hosts="*", origins=origins)
        self.digests = tuple(digests)

    @property
    def asks(self) -> bool:
        return True

    def authorize(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise `Unauthorized` unless a good token came along."""
        scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
        given = token_digest(credentials.strip())
        found = False
        for digest in self.digests:
            found |= compare_digest(given, digest)
        if not found or scheme.lower() != b"bearer":
            raise Unauthorized(
                "the bearer token is missing or wrong",
                fix=f"send the header «Authorization: Bearer TOKEN»; the owner finds the token in {token()}",
            )
