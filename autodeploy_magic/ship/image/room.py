"""Whether a disk has room for what an image takes: asked before the work that would fill it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from autodeploy_magic.errors import DiskFull

__all__ = ["installed_bytes", "need_space", "tree_bytes"]


def need_space(place: Path, wanted_bytes: int) -> None:
    """Raise `DiskFull` where the disk of `place`, which need not be there yet, has not so much left."""
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < wanted_bytes:
        raise DiskFull(
            f"the disk that holds {place} has {free / 2**20:.0f} MB left",
            why=f"an image of this version takes about {wanted_bytes / 2**20:.0f} MB there while it is built",
            fix="free some space: unused images (`podman image prune`), unused versions (`%deploy rm NAME --versions`)",
        )


def installed_bytes(pins: Iterable[str]) -> int:
    """What the pinned distributions take where they are installed here, as their installer wrote it down; else 0."""
    total = 0
    for pin in pins:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            files = importlib.metadata.distribution(pin.partition("==")[0]).files or ()
            total += sum(file.size or 0 for file in files)
    return total


def tree_bytes(folder: Path) -> int:
    """The bytes of all files below a folder, links to the same ones counted each time."""
    return sum(os.lstat(Path(place, name)).st_size for place, _, names in os.walk(folder) for name in names)
