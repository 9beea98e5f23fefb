"""An image without an engine: an OCI archive, on a base image that is a file or comes from a registry."""

from __future__ import annotations

import contextlib
from pathlib import Path

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.base import open_base
from autodeploy_magic.ship.image.context import Context
from autodeploy_magic.ship.image.layers import pack
from autodeploy_magic.ship.image.made import Made
from autodeploy_magic.ship.image.oci import write_archive
from autodeploy_magic.ship.telling import Telling

__all__ = ["AsArchive"]


class AsArchive:
    """Writes `target`. The base image is fetched at once: whether it can be had is known before anything is staged."""

    def __init__(self, reference: str, base: str, target: Path, *, python: str, platform: str) -> None:
        self._reference = reference
        self._target = target
        self._base = open_base(base, python=python, platform=platform)
        try:
            with disk_full(target.parent):
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ShipFailed(
                f"{target.parent} cannot be made", why=str(error), fix="choose a folder that you may write to (--to)"
            ) from error

    def make(self, context: Context, work: Path, telling: Telling, ends: float) -> Made:
        """Pack the parts and write the file, whole or not at all. Raises `ShipFailed` or `DiskFull`."""
        del ends  # nothing here waits for anybody
        packed = []
        for part in context.parts:
            packed.append(pack(context.root, part.paths, work / f"{part.name}.tar.gz"))
            telling.line(f"layer {part.name}: {packed[-1].size_bytes / 2**20:.1f} MB, {packed[-1].digest}")
        made = write_archive(self._target, context, self._base, packed, self._reference)
        telling.line(f"wrote {self._target}")
        return Made(
            digest=made.digest,
            size_bytes=made.size_bytes,
            added_bytes=made.added_bytes,
            base=self._base.name,
            archive=str(self._target),
            notes=self._base.notes,
        )

    def discard(self, made: Made) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError):
            Path(made.archive).unlink()
