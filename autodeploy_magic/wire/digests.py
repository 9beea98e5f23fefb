"""Tokens as those know them who check them and must not be able to give them away."""

from __future__ import annotations

import hashlib

__all__ = ["token_digest"]

_PURPOSE = b"autodeploy_magic token\0"


def token_digest(token: bytes) -> str:
    """The digest of a token, 64 hexadecimal digits. Tokens are 256 random bits: none is found by trying."""
    return hashlib.sha256(_PURPOSE + token).hexdigest()
