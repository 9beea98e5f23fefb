"""`GET /`: a page to try the deployment in a browser, and `GET /signature`, which it is made from.

The page itself tells nothing; what it shows it asks for with the token, which comes in the address's fragment (never
sent to a server, and removed from the address at once) or is typed in.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autodeploy_magic.errors import RequestRefused
from autodeploy_magic.serve import owner
from autodeploy_magic.serve.protocols import JSON, Answer, Request, Route
from autodeploy_magic.serve.protocols.operation import (
    TEXT,
    TRUTH,
    WHOLE,
    Answered,
    Content,
    Operation,
    json,
    list_of,
    object_of,
)
from autodeploy_magic.serve.protocols.refusals import IN_FULL, in_full

if TYPE_CHECKING:
    from autodeploy_magic.serve.road import Road

__all__ = ["TryIt"]

_HTML = "text/html"
_VARIES = (b"vary", b"accept")
_SAMPLE_ROWS = 3
_SAMPLE_BYTES = 256 * 1024
_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class TryIt:
    """A form with the sample filled in, and the answer under it."""

    def __init__(self, road: Road) -> None:
        self._served = road.served

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/", self._page, open=True, operation=_page_operation),
            Route("GET", "/signature", self._signature, operation=_signature_operation),
        ]

    def refusal(self, error: RequestRefused, request_id: str) -> Answer:
        return in_full(error, request_id)

    def _page(self, request: Request) -> Answer:
        if b"text/html" not in request.headers.get(b"accept", b""):
            return Answer(b'{"status":"alive"}', headers=[_VARIES])  # what KServe's v1 clients look for here
        nonce = secrets.token_urlsafe(16)
        headers = [
            (b"content-security-policy", _POLICY.format(nonce).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
            _VARIES,
        ]
        body = owner.page(_html()).replace("NONCE", nonce).encode()
        return Answer(body, content_type=f"{_HTML}; charset=utf-8", headers=headers)

    def _signature(self, _: Request) -> Answer:
        version = self._served.version
        body = {
            "deployment": version.deployment,
            "version": version.number,
            "model": version.model_type,
            "format": version.format,
            "trust": version.trust.level,
            "trust_reason": version.trust.reason,
            "allowed_by": version.trust.allowed_by,
            "signed_by": version.signed_by,
            "signature": version.signature,
            "outputs": [output.name for output in version.outputs],
            "streams": self._served.streams,
            "sample": self._sample(),
        }
        return Answer(msgspec.json.encode(body))

    def _sample(self) -> Any:
        """A few rows, or one where a few were too much to be edited as text."""
        found = self._served.sample(_SAMPLE_ROWS)
        return found if len(msgspec.json.encode(found)) <= _SAMPLE_BYTES else self._served.sample(1)


def _page_operation() -> Operation:
    alive = Content(object_of({"status": {"const": "alive"}}))
    said = "To a browser the page, which tells nothing before it is given the token; to others that this is alive."
    page = Answered(said, {JSON: alive, _HTML: Content(TEXT)})
    return Operation("page", "about", "A page to try the deployment in a browser", {200: page}, IN_FULL)


def _signature_operation() -> Operation:
    schema = object_of(
        {
            "deployment": TEXT,
            "version": WHOLE,
            "model": TEXT,
            "format": TEXT,
            "trust": {"enum": ["green", "amber"]},
            "trust_reason": TEXT,
            "allowed_by": TEXT,
            "signed_by": TEXT,
            "signature": {"type": "object", "required": ["container", "columns"]},
            "outputs": list_of(TEXT),
            "streams": TRUTH,
            "sample": {"type": ["array", "object"]},
        }
    )
    answer = json("What the page is made from.", schema)
    return Operation("signature", "about", "The columns, the outputs, and rows of the sample", {200: answer}, IN_FULL)


@cache
def _html() -> str:
    return Path(__file__).with_name("page.html").read_text("utf-8")
