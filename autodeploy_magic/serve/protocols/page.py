"""`GET /`: a page to try the deployment in a browser, and `GET /signature`, which it is made from.

The page itself tells nothing; what it shows it asks for with the token, which comes in the address's fragment (never
sent to a server, and removed from the address at once) or is typed in.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve.core import Core
from autodeploy_magic.serve.protocols import Answer, Request, Route
from autodeploy_magic.serve.protocols.refusals import in_full

__all__ = ["TryIt"]

_SAMPLE_ROWS = 3
_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class TryIt:
    """A form with the sample filled in, and the answer under it."""

    def __init__(self, core: Core) -> None:
        self._served = core.served

    def routes(self) -> Sequence[Route]:
        return [Route("GET", "/", self._page, open=True), Route("GET", "/signature", self._signature)]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    async def _page(self, _: Request) -> Answer:
        nonce = secrets.token_urlsafe(16)
        headers = [
            (b"content-security-policy", _POLICY.format(nonce).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        ]
        body = _html().replace("NONCE", nonce).encode()
        return Answer(body, content_type="text/html; charset=utf-8", headers=headers)

    async def _signature(self, _: Request) -> Answer:
        version = self._served.version
        body = {
            "deployment": version.deployment,
            "version": version.number,
            "model": version.model_type,
            "format": version.format,
            "signature": version.signature,
            "outputs": [output.name for output in version.outputs],
            "sample": self._served.sample(_SAMPLE_ROWS),
        }
        return Answer(msgspec.json.encode(body))


@cache
def _html() -> str:
    return Path(__file__).with_name("page.html").read_text("utf-8")
