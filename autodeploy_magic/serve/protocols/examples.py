"""Rows of a version's own sample and what it answers to them, as examples in `/docs.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from autodeploy_magic.serve.road import Road

__all__ = ["Sample", "fits", "sample"]

MOST_BYTES = 16 * 1024
"""Of one example: a picture says nothing to whoever reads the document, and there are several examples."""
_ROWS = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """`inputs` as a request has them, and the answers to them by output, where there is one for each row."""

    inputs: Any
    answers: dict[str, Any]


def sample(road: Road) -> Sample | None:
    """A few rows, or one; None where even that is too large."""
    for rows in (_ROWS, 1):
        found = Sample(road.served.sample(rows), road.served.expected(rows))
        if fits(found.inputs) and fits(found.answers):
            return found
    return None


def fits(example: Any) -> bool:
    """Whether it is small enough to be shown."""
    return len(msgspec.json.encode(example)) <= MOST_BYTES
