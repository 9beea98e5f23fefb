"""The version's files as a package that the cluster fetches: our serving code, and the model beside it.

Nothing in it tells when or by whom it was made: the same version is the same package, and is sent once.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from autodeploy_magic.build.source import copy_serving_files
from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import ShipFailed

__all__ = ["package", "uri_of"]

_TIME = (1980, 1, 1, 0, 0, 0)


def package(version: Version, model: Path) -> bytes:
    """A zip file of the version in the folder `model`. Raises `ShipFailed` where a file of it is gone."""
    with tempfile.TemporaryDirectory() as ours:
        copy_serving_files(Path(ours))
        files = {path.relative_to(ours).as_posix(): path for path in _below(Path(ours))}
        names = ["version.json", "code", *sorted(artifact.path for artifact in version.artifacts)]
        for path in (path for name in names for path in _below(model / name)):
            files[f"model/{path.relative_to(model).as_posix()}"] = path
        try:
            return _zipped(files)
        except OSError as error:
            raise ShipFailed(
                f"v{version.number} of {version.deployment} cannot be packed", why=str(error), fix="deploy it again"
            ) from error


def uri_of(data: bytes) -> str:
    """What the cluster knows the package by."""
    return f"gcs://_ray_pkg_{hashlib.sha256(data).hexdigest()[:32]}.zip"


def _zipped(files: Mapping[str, Path]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes())
    return stream.getvalue()


def _below(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return [] if path.name == "code" else [path]
