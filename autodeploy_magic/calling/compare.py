"""Whether two JSON answers say the same, but for the last digits of a number."""

from __future__ import annotations

import math
from typing import Any

from autodeploy_magic import settings

__all__ = ["close"]


def close(expected: Any, found: Any) -> bool:
    """Whether two JSON values agree: numbers within the tolerance of the verification, everything else exactly."""
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(close(a, b) for a, b in zip(expected, found, strict=True))
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(close(value, found[key]) for key, value in expected.items())
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        tolerance = float(settings.get("value_tolerance"))
        return math.isclose(expected, found, rel_tol=tolerance, abs_tol=tolerance)
    return bool(expected == found)
