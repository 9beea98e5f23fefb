"""What earlier versions of a deployment already measured, so that a re-run need not measure it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from autodeploy_magic.build.capture import Captured
from autodeploy_magic.build.speed import CLEARLY_SLOWER
from autodeploy_magic.contracts import Version

__all__ = ["not_again"]


def not_again(captured: Captured, versions: Sequence[Version]) -> dict[str, str]:
    """Formats that need no replay this time, with the reason: what the newest versions alike found.

    A version is alike that has the same framework, kind of model and columns. Native is left out where it was clearly
    slower; a format that differed from the live object, where its exact form was kept instead.
    """
    found: dict[str, str] = {}
    for version in reversed(versions):
        if not _alike(captured, version):
            break
        for format, exact in captured.exporter.exact.items():
            if version.format == exact and not found:
                found[format] = f"not replayed (differed from the live object in version {version.number})"
        ratio = _native_ratio(version)
        if ratio is not None:
            if ratio >= CLEARLY_SLOWER:
                found["native"] = f"not replayed ({ratio:.0f}x slower in version {version.number})"
            break
    return found


def _native_ratio(version: Version) -> float | None:
    """How much slower native was than what that version serves; None where it was not measured."""
    times = {
        candidate.format: math.sqrt(candidate.one_row_s * candidate.batch_s)
        for candidate in version.candidates
        if candidate.one_row_s and candidate.batch_s
    }
    if "native" not in times or version.format not in times:
        return None
    return times["native"] / times[version.format]


def _alike(captured: Captured, version: Version) -> bool:
    def shape(columns: Any) -> list[Any]:
        return [(column.name, column.dtype, column.shape, column.categories) for column in columns]

    signature = captured.sample.signature
    return (
        version.framework == captured.exporter.name
        and version.model_type == captured.model_type
        and version.signature.container == signature.container
        and shape(version.signature.columns) == shape(signature.columns)
    )
