"""The shipped folder as a wheel, and as one zip: plain archives, the same bytes each time. No build tool, no network.

Source: the binary distribution format, packaging.python.org/specifications/binary-distribution-format.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from autodeploy_magic import __version__
from autodeploy_magic.contracts import Version
from autodeploy_magic.ship.text import check_text

__all__ = ["names_of", "write_wheel", "write_zip"]

_INIT = '''"""A model as a package. `load().predict(rows)` answers; see predict.py."""

from __future__ import annotations

from pathlib import Path

from .predict import InvalidInputs, Model, to_plain

__all__ = ["InvalidInputs", "Model", "load", "to_plain"]


def load(threads: int = 1) -> Model:
    """The model of this package."""
    return Model(Path(__file__).parent, threads=threads)
'''
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # what a zip can say


def names_of(name: str) -> tuple[str, str]:
    """What the package of a deployment is imported as, and what its command is called."""
    package = re.sub(r"[^a-z0-9]+", "_", f"{name.lower()}_edge")
    return package, package.replace("_", "-")


def write_wheel(version: Version, files: Iterable[Path], to: Path, ort: str) -> Path:
    """Write a wheel with `files` into `to`. It asks for numpy, and onnxruntime of the release `ort` or later."""
    package, command = names_of(version.deployment)
    number = f"{version.number}.0"
    about = f"{package}-{number}.dist-info"
    content = {f"{package}/{file.name}": file.read_bytes() for file in files}
    content[f"{package}/__init__.py"] = _INIT.encode()
    content[f"{package}/py.typed"] = b""
    content[f"{about}/METADATA"] = "".join(
        f"{line}\n"
        for line in (
            "Metadata-Version: 2.1",
            f"Name: {command}",
            f"Version: {number}",
            f"Summary: The model {check_text(version.deployment, 'the name')}, version {version.number}",
            "Requires-Python: >=3.9",
            "Requires-Dist: numpy>=1.24",
            f"Requires-Dist: onnxruntime>={ort}",
        )
    ).encode()
    content[f"{about}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: autodeploy_magic {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ).encode()
    content[f"{about}/entry_points.txt"] = f"[console_scripts]\n{command} = {package}.predict:main\n".encode()
    record = f"{about}/RECORD"
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in content.items()]
    content[record] = "".join(f"{line}\n" for line in [*lines, f"{record},,"]).encode()
    wheel = to / f"{package}-{number}-py3-none-any.whl"
    _write(wheel, content, version)
    return wheel


def write_zip(version: Version, folder: Path, to: Path) -> None:
    """Write all files of `folder` as one zip, in a folder of the version's name."""
    root = f"{version.deployment}-v{version.number}"
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != to)
    _write(to, {f"{root}/{file.relative_to(folder).as_posix()}": file.read_bytes() for file in files}, version)


def _write(path: Path, content: dict[str, bytes], version: Version) -> None:
    made = max(datetime.fromisoformat(version.created_at).astimezone(UTC), _EARLIEST)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, made.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, data)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
