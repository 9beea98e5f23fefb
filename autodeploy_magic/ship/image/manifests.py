"""Which of the images that one name stands for is the one for a platform."""

from __future__ import annotations

import json
from typing import Any, Protocol

from autodeploy_magic.errors import ShipFailed

__all__ = ["INDEXES", "MANIFESTS", "chosen"]

MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DEPTH = 3
"""Indexes within indexes."""


class Records(Protocol):
    def record(self, digest: str) -> bytes: ...


def chosen(name: str, index: dict[str, Any], platform: str, source: Records) -> tuple[str, dict[str, Any]]:
    """The digest and the manifest of the one image for `platform` ("linux/amd64") in an index.

    Raises `ShipFailed` where there is none, or several.
    """
    found = list(_flat(index, source, _DEPTH))
    told = [entry for entry in found if entry.get("platform")]
    fitting = [entry for entry in told if _platform(entry) == platform] or [e for e in found if not e.get("platform")]
    digests = sorted({str(entry["digest"]) for entry in fitting})
    if not digests:
        there = ", ".join(sorted({_platform(entry) for entry in told})) or "no platform at all"
        raise ShipFailed(
            f"{name} has no image for {platform}", why=f"it has one for {there}", fix="use another base, or --platform"
        )
    if len(digests) > 1:
        raise ShipFailed(
            f"{name} holds {len(digests)} images for {platform}", why="one is wanted", fix="save the one image alone"
        )
    manifest = json.loads(source.record(digests[0]))
    if not isinstance(manifest, dict) or "layers" not in manifest:
        raise ShipFailed(f"{name} is not a container image", why="its manifest lists no layers", fix="use another one")
    return digests[0], manifest


def _flat(index: dict[str, Any], source: Records, depth: int) -> list[dict[str, Any]]:
    """The manifests of an index, and of the indexes in it; without what attests to them, which is for no platform."""
    found: list[dict[str, Any]] = []
    for entry in index.get("manifests") or ():
        if entry.get("mediaType") in INDEXES and depth:
            found += _flat(json.loads(source.record(str(entry["digest"]))), source, depth - 1)
        elif (entry.get("platform") or {}).get("os") != "unknown":
            found.append(entry)
    return found


def _platform(entry: dict[str, Any]) -> str:
    told = entry["platform"]
    return f"{told.get('os', '')}/{told.get('architecture', '')}"
