"""What a function carries by value and had better not: a password, a token, a key. Told by name, never by value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["secret_names"]

_NAMES = re.compile(
    r"(^|_)((api|secret|access|private|auth)_?key|token|secret|passw(or)?d|pwd|credentials?|dsn)(_|$)", re.IGNORECASE
)
_SHORTEST = 8

_VALUES = re.compile(
    r"""(sk|pk|rk)[-_](live|test|proj|ant|or)?[-_A-Za-z0-9]{16,}   # OpenAI, Anthropic, Stripe
    | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_\w{30,} | glpat-[\w-]{18,}
    | (AKIA|ASIA)[A-Z0-9]{16}
    | hf_[A-Za-z0-9]{30,}
    | xox[abprs]-[\w-]{10,}
    | pypi-[\w-]{50,}
    | AIza[\w-]{35}
    | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*                           # a JSON web token
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | [a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@]+@\S+                    # a password in an address
    """,
    re.VERBOSE,
)


def secret_names(values: Mapping[str, Any]) -> Iterator[str]:
    """The names of those texts that look like a secret, or are what an environment variable of such a name holds."""
    for name, value in values.items():
        if isinstance(value, str) and len(value) >= _SHORTEST and (_looks_secret(name, value) or value in _known()):
            yield name


def _looks_secret(name: str, value: str) -> bool:
    named = _NAMES.search(name) is not None and " " not in value and any(char.isdigit() for char in value)
    return named or _VALUES.search(value) is not None


def _known() -> set[str]:
    return {value for name, value in os.environ.items() if _NAMES.search(name) and len(value) >= _SHORTEST}
