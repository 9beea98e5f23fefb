"""gRPC's own bytes within an HTTP/2 stream: messages with their length before them, and the time a call may take.

Source: gRPC's PROTOCOL-HTTP2.md and compression.md.
"""

from __future__ import annotations

import re
import zlib

from autodeploy_magic.errors import BodyTooLarge, InvalidInputs, UnsupportedContent

__all__ = ["ENCODINGS", "Inbox", "check_encoding", "framed", "timeout_s"]

ENCODINGS = (b"identity", b"gzip", b"deflate")
"""What a request's messages may be compressed with; answers are not compressed."""

_PREFIX = 5
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_COMPACT_BYTES = 64 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def framed(message: bytes) -> bytes:
    """A message as it is sent."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def timeout_s(value: bytes) -> float:
    """Seconds of a `grpc-timeout` header. Raises `InvalidInputs`."""
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise InvalidInputs("grpc-timeout is not a time", fix="send up to 8 digits and one of H, M, S, m, u, n")
    return int(match[1]) * _UNITS[match[2]]


class Inbox:
    """The bytes of a request, in any pieces → its messages. None is longer than `limit` bytes, compressed or not."""

    def __init__(self, limit: int, encoding: bytes = b"identity") -> None:
        self._limit = limit
        self._encoding = encoding
        self._bytes: bytes | bytearray = b""
        self._taken = 0  # how many of them are of messages that were taken

    def __len__(self) -> int:
        """How many bytes wait here."""
        return len(self._bytes) - self._taken

    def feed(self, data: bytes) -> None:
        """Add bytes that arrived."""
        if not self._bytes:
            self._bytes = data  # most requests come in one piece, and it is not copied
            return
        if not isinstance(self._bytes, bytearray):
            self._bytes = bytearray(self._bytes)
        self._bytes += data

    def take(self) -> bytes | None:
        """The next message, or None where it is not whole yet.

        Raises `BodyTooLarge` as soon as its length is known, `UnsupportedContent` or `InvalidInputs`.
        """
        start = self._taken
        if len(self._bytes) < start + _PREFIX:
            return None
        compressed = self._bytes[start]
        size = int.from_bytes(self._bytes[start + 1 : start + _PREFIX], "big")
        if size > self._limit:
            raise self._too_large()
        end = start + _PREFIX + size
        if len(self._bytes) < end:
            return None
        message = bytes(self._bytes[start + _PREFIX : end])
        self._forget(end)
        if compressed > 1:
            raise InvalidInputs("a message begins with a flag that gRPC does not have", fix="send 0 or 1")
        return self._decompress(message) if compressed else message

    def _forget(self, end: int) -> None:
        if end == len(self._bytes):
            self._bytes, self._taken = b"", 0
        elif end > _COMPACT_BYTES:
            self._bytes, self._taken = self._bytes[end:], 0
        else:
            self._taken = end

    def _decompress(self, message: bytes) -> bytes:
        if self._encoding == b"identity":
            raise InvalidInputs("a message is compressed and grpc-encoding does not say how", fix="send grpc-encoding")
        decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            plain = decompressor.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise InvalidInputs(f"a message is not {self._encoding.decode()}: {error}", fix="send it whole") from error
        if len(plain) > self._limit:
            raise self._too_large()
        if not decompressor.eof:
            raise InvalidInputs("a compressed message ends too early", fix="send it whole")
        return plain

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"a message has more than {self._limit} bytes",
            fix="send the rows in parts, or raise AUTODEPLOY_MAX_BODY_BYTES and restart the deployment",
            field="body",
        )


def check_encoding(value: bytes) -> bytes:
    """Return a `grpc-encoding` header that can be read. Raises `UnsupportedContent`."""
    if value not in ENCODINGS:
        raise UnsupportedContent(
            f"messages compressed with {value.decode('latin-1')!r} are not read here",
            fix=f"send one of {', '.join(name.decode() for name in ENCODINGS)}",
        )
    return value
