"""What the step of a build made, whichever way it was."""

from __future__ import annotations

from dataclasses import dataclass

from autodeploy_magic.ship.image.known import Known

__all__ = ["Made"]


@dataclass(frozen=True)
class Made:
    """An image of an engine, which `known` describes, or the file `archive`; see `shipping.Image`."""

    digest: str
    size_bytes: int
    added_bytes: int
    base: str
    archive: str = ""
    known: Known | None = None
    notes: tuple[str, ...] = ()
