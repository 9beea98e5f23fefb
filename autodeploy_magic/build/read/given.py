"""What was given as a model: a path, its first bytes, and what its folder or archive holds."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import BadInput
from autodeploy_magic.store import file_sha256

__all__ = ["HEAD_BYTES", "Given", "Loaded", "given_at", "is_uri", "size_text"]

HEAD_BYTES = 65536
MOST_FILES = 10_000
"""In a folder: no model has so many, and a home folder has."""
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
_MLFLOW = ("models:/", "runs:/")


@dataclass(frozen=True)
class Loaded:
    """A model that was read. `source` says where from, `allowed_by` which choice of the person's let it run code.

    `notes` are for the person: a library of another release, types that were trusted.
    """

    model: Any
    source: str
    allowed_by: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class Given:
    """One path to be read. `into` is the object that weights are put into; readers add to `notes`."""

    path: Path
    stamp: tuple[int, ...]
    allow_pickle: bool = False
    into: Any = None
    second: Path | None = None
    notes: list[str] = field(default_factory=list)
    allowed_by: str = ""

    @property
    def name(self) -> str:
        return self.path.name or str(self.path)

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()

    @cached_property
    def head(self) -> bytes:
        """The first bytes; none of a folder."""
        if self.is_folder:
            return b""
        with self.path.open("rb") as stream:
            return stream.read(HEAD_BYTES)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The files in a folder, or the members of a zip archive; of a damaged archive none."""
        if self.is_folder:
            found = (file for file in self.path.rglob("*") if file.is_file())
            return tuple(sorted(file.relative_to(self.path).as_posix() for file in found))
        if not self.is_zip:
            return ()
        try:
            with zipfile.ZipFile(self.path) as archive:
                return tuple(archive.namelist())
        except (zipfile.BadZipFile, OSError, ValueError):
            return ()

    @property
    def is_zip(self) -> bool:
        return self.head.startswith(b"PK\x03\x04")

    @cached_property
    def size_bytes(self) -> int:
        files = [self.path / name for name in self.names] if self.is_folder else [self.path]
        return sum(file.stat().st_size for file in files)

    @cached_property
    def sha256(self) -> str:
        """Of the file; of a folder, over the hashes of its files."""
        if not self.is_folder:
            return file_sha256(self.path)
        lines = [f"{file_sha256(self.path / name)}  {name}\n" for name in self.names]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def source(self) -> str:
        """As it stands in the version's record: "model.pkl (SHA-256 1234abcd…, 12 KB)"."""
        also = f" with {self.second.name}" if self.second else ""
        return f"{self.name}{also} (SHA-256 {self.sha256[:12]}…, {size_text(self.size_bytes)})"

    def data(self) -> bytes:
        """All of the file, once: what is looked at is what is then read. Raises `BadInput` where that is not so."""
        found = self.path.read_bytes()
        if hashlib.sha256(found).hexdigest() != self.sha256:
            raise _changed(self)
        return found

    def check_unchanged(self) -> None:
        """Raise `BadInput` where somebody wrote to it while it was read."""
        if _stamp(self.path) != self.stamp:
            raise _changed(self)


def is_uri(text: str) -> bool:
    """Whether `text` is an address of MLflow's. Raises `BadInput` for an address that nothing is fetched from."""
    if text.startswith(_MLFLOW):
        return True
    if not _URI.match(text):
        return False
    scheme = text.partition(":")[0]
    raise BadInput(
        f"--file takes a path, not an address ({scheme}:…)",
        why="nothing is downloaded here: whoever answers that address would choose what this kernel loads",
        fix="download it first, compare its SHA-256 with what its maker says, and give the path; "
        "MLflow's models:/NAME/VERSION and runs:/ID/path are taken",
    )


def given_at(text: str, *, allow_pickle: bool = False, into: Any = None) -> Given:
    """Look at a path: "~" is the home folder, relative ones are seen from here. "A,B" is a file and its weights.

    Raises `BadInput` where nothing is there, where it cannot be read or is empty.
    """
    second = None
    path = Path(text).expanduser()
    if not path.exists() and "," in text:
        first, _, other = text.partition(",")
        path, second = Path(first).expanduser(), Path(other).expanduser()
    for each in filter(None, (path, second)):
        _check_there(each)
    if path.is_dir() and sum(1 for _ in itertools.islice(path.rglob("*"), MOST_FILES + 1)) > MOST_FILES:
        raise BadInput(f"{path} holds more than {MOST_FILES:,} files", fix="give the folder of the model itself")
    given = Given(path.resolve(), _stamp(path), allow_pickle, into, second and second.resolve())
    try:
        empty = not given.names if given.is_folder else not given.head
    except OSError as error:
        raise BadInput(
            f"{given.name} cannot be read", why=str(error.strerror), fix="give yourself the right to read it"
        ) from error
    if empty:
        kind = "folder" if given.is_folder else "file, of 0 bytes"
        raise BadInput(f"{given.name} is an empty {kind}", fix="save the model again, and look at its size")
    return given


def size_text(size_bytes: int) -> str:
    """A size for reading: "12 KB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.3g} {unit}"
    return f"{size_bytes} bytes"


def _check_there(path: Path) -> None:
    if path.is_file() or path.is_dir():
        return
    if path.exists():
        raise BadInput(f"{path} is neither a file nor a folder", fix="give the path of the model itself")
    near = ""
    if path.parent.is_dir():
        import difflib

        close = difflib.get_close_matches(path.name, os.listdir(path.parent), 1)
        near = f"did you mean {close[0]!r}?" if close else ""
    else:
        near = f"there is no folder {path.parent} either"
    raise BadInput(
        f"there is no file {str(path)!r}",
        why=f"seen from {Path.cwd()}" + (f"; {near}" if near else ""),
        fix="check the path"
        if path.suffix
        else "check the path; a model of a hub is loaded first, and given as an object: "
        f"pipeline(task, model={str(path)!r})",
    )


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes when the file, or any file of the folder, is written to."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    found: list[int] = []
    for file in files:
        try:
            at = file.stat()
        except OSError:
            found += [0]
            continue
        found += [at.st_ino, at.st_size, at.st_mtime_ns]
    return tuple(found)


def _changed(given: Given) -> BadInput:
    return BadInput(
        f"{given.name} changed while it was read",
        why="another program writes to it: half of a model would have been deployed",
        fix="wait until it is whole, and deploy again",
    )
