"""Kubernetes' quantities: "250m" cores, "96Mi" of memory.

Source: kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity.
"""

from __future__ import annotations

import re
from decimal import Decimal

from autodeploy_magic.errors import InvalidOption

__all__ = ["check_quantity", "cores", "mebibytes", "quantity"]

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3}|)")
_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_MEBI = 2**20


def quantity(text: str) -> Decimal:
    """How much it is: cores, or bytes. Raises `ValueError` for what the API server would refuse."""
    matched = _QUANTITY.fullmatch(text)
    if matched is None:
        raise ValueError(f"{text!r} is no quantity")
    number, suffix = Decimal(matched[1]), matched[2]
    if suffix in _BINARY:
        return number * Decimal(1024 ** _BINARY[suffix])
    power = _SUFFIXES[suffix] if suffix in _SUFFIXES else int(suffix[1:])
    return number.scaleb(power)


def cores(millicores: float, *, step: int = 50) -> str:
    """Thousandths of a core as a quantity, rounded up to a step: "250m", "2"."""
    rounded = max(step, -int(-millicores // step) * step)
    return f"{rounded}m" if rounded % 1000 else str(rounded // 1000)


def mebibytes(size_bytes: float, *, step: int = 16) -> str:
    """Bytes as a quantity, rounded up to a step of MiB: "96Mi"."""
    return f"{max(step, -int(-size_bytes // (step * _MEBI)) * step)}Mi"


def check_quantity(text: str, what: str, *, example: str, least: str, most: str) -> str:
    """Return a quantity that a person typed. Raises `InvalidOption` where it is none, or cannot be meant."""
    try:
        value = quantity(text)
    except ValueError:
        raise InvalidOption(f"{what} is {text!r}, which is no quantity", fix=f"use one such as {example}") from None
    if not quantity(least) <= value <= quantity(most):
        raise InvalidOption(f"{what} is {text!r}", why=f"it has to be from {least} to {most}", fix=f"such as {example}")
    return text
