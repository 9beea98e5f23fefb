"""How a refused request is told in gRPC: a status code and one line, as HTTP/2 trailers.

Codes are chosen by what clients do with them. UNAVAILABLE is the one that they retry, so a full queue gets it, as it is
what gRPC makes of HTTP 429; RESOURCE_EXHAUSTED is what gRPC servers answer to a message that is too large.
Source: gRPC's status code guide, http-grpc-status-mapping.md, PROTOCOL-HTTP2.md; A6 for the pushback.
"""

from __future__ import annotations

from enum import IntEnum
from urllib.parse import quote

from hpack import NeverIndexedHeaderTuple

from autodeploy_magic.errors import (
    BodyTooLarge,
    Forbidden,
    InvalidInputs,
    MethodNotAllowed,
    Misdirected,
    ModelFailed,
    NotAcceptable,
    NotFound,
    Overloaded,
    RequestRefused,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnsupportedContent,
)
from autodeploy_magic.serve.protocols.refusals import one_line

__all__ = ["Status", "Trailers", "refusal", "status_of", "trailers"]

Trailers = list[tuple[bytes, bytes]]


class Status(IntEnum):
    """The status codes that are used here."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_CODES: dict[type[RequestRefused], Status] = {
    Unauthorized: Status.UNAUTHENTICATED,
    NotFound: Status.NOT_FOUND,
    MethodNotAllowed: Status.UNIMPLEMENTED,
    NotAcceptable: Status.UNIMPLEMENTED,
    UnsupportedContent: Status.UNIMPLEMENTED,
    Forbidden: Status.PERMISSION_DENIED,
    Misdirected: Status.PERMISSION_DENIED,
    BodyTooLarge: Status.RESOURCE_EXHAUSTED,
    InvalidInputs: Status.INVALID_ARGUMENT,
    Overloaded: Status.UNAVAILABLE,
    Unavailable: Status.UNAVAILABLE,
    TimedOut: Status.DEADLINE_EXCEEDED,
    ModelFailed: Status.INTERNAL,
}
_MESSAGE_BYTES = 1500
"""Most of a status message: percent-encoded it may be three times as long, and clients take 8 KiB of metadata."""
_AS_THEY_ARE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def status_of(error: RequestRefused) -> Status:
    """The status code of a refusal; one of a kind that is not known here is the request's fault up to HTTP's 499."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return Status.INVALID_ARGUMENT if error.status < 500 else Status.INTERNAL


def refusal(error: RequestRefused, request_id: str) -> Trailers:
    """The trailers of a refused request, with its id for the person who looks into it."""
    found = trailers(status_of(error), one_line(error))
    found.append(NeverIndexedHeaderTuple(b"x-request-id", request_id.encode()))
    if isinstance(error, Overloaded):
        wait_ms = round(float(error.details.get("retry_after_s", 1)) * 1000)
        found.append((b"grpc-retry-pushback-ms", str(wait_ms).encode()))
    return found


def trailers(status: Status, message: str = "") -> Trailers:
    """What ends a call."""
    found: Trailers = [(b"grpc-status", str(int(status)).encode())]
    if message:
        text = message.encode()[:_MESSAGE_BYTES].decode(errors="ignore")
        # Never indexed: what differs each time would push what stays the same out of the header table.
        found.append(NeverIndexedHeaderTuple(b"grpc-message", quote(text, safe=_AS_THEY_ARE).encode()))
    return found
