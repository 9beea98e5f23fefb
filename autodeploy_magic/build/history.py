"""What earlier versions of a deployment already measured, so that a re-run need not measure it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from autodeploy_magic.build.capture import Captured
from autodeploy_magic.build.speed import clearly_slower
from autodeploy_magic.contracts import Version
from autodeploy_magic.formats import format_of

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
        measured = _live_beside(version)
        if measured is not None:
            one, batch = measured
            if clearly_slower(one, batch):
                slower = f"not replayed ({math.sqrt(one * batch):.0f}x slower in version {version.number})"
                found |= {item: slower for item in captured.formats if format_of(item).live}
            break
    return found


def _live_beside(version: Version) -> tuple[float, float] | None:
    """How much longer the live object took at one row and at a batch than what that version serves."""
    times = {
        candidate.format: (candidate.one_row_s, candidate.batch_s)
        for candidate in version.candidates
        if candidate.one_row_s and candidate.batch_s
    }
    live = next((format for format in times if format_of(format).live), None)
    if live is None or version.format not in times:
        return None
    one, batch = (a / b for a, b in zip(times[live], times[version.format], strict=True))
    return one, batch


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
