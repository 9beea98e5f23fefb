"""A folder as a layer of an image: a tar of its files that says nothing of when, where and by whom it was made.

Entries stand in the order of their names, belong to root, and have one time: the same files are the same bytes, and the
digests of two builds are equal. Nothing is held in memory.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, cast

from autodeploy_magic.disk import disk_full

__all__ = ["LEVEL", "TIME", "Hashed", "Packed", "content", "digest_of", "normalise", "pack"]

TIME = 315532800
"""The time of every file, in seconds since the epoch: the first of January 1980, the oldest that a zip can hold.

Not that of the version: two versions with the same packages have the same layer, which is then pushed and pulled once.
"""

CHUNK = 1024 * 1024
LEVEL = 4
"""Of compression: 6 takes twice as long, for three hundredths."""


@dataclass(frozen=True)
class Packed:
    """A layer in a file. `digest` is of the file, `diff_id` of what it holds before it was compressed."""

    file: Path
    digest: str
    diff_id: str
    size_bytes: int
    unpacked_bytes: int
    media_type: str = "application/vnd.oci.image.layer.v1.tar+gzip"


def pack(root: Path, inside: Sequence[str], target: Path) -> Packed:
    """Write what is `inside` of `root` ("app/model") to `target` as a gzipped layer, with the folders that lead there.

    Raises `DiskFull`, or `OSError` for what cannot be read.
    """
    with disk_full(target.parent), target.open("wb") as file:
        compressed = Hashed(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=compressed, mtime=0) as stream:
            plain = Hashed(stream)
            with tarfile.open(
                mode="w|", fileobj=cast("IO[bytes]", plain), format=tarfile.PAX_FORMAT, bufsize=CHUNK
            ) as archive:
                for path in _with_parents(root, inside):
                    _add(archive, path, path.relative_to(root).as_posix())
    return Packed(target, compressed.digest, plain.digest, compressed.size, plain.size)


def content(root: Path, inside: Sequence[str]) -> str:
    """The digest of what a layer of these files would hold, whoever packs it."""
    found = hashlib.sha256()
    for path in _with_parents(root, inside):
        mode, name = path.lstat().st_mode, path.relative_to(root).as_posix()
        if stat.S_ISLNK(mode):
            line = f"link {path.readlink()}"
        else:
            line = f"{_mode(mode):o} {digest_of(path)}" if stat.S_ISREG(mode) else "folder"
        found.update(f"{name}\0{line}\n".encode())
    return f"sha256:{found.hexdigest()}"


def normalise(folder: Path) -> None:
    """Give all in `folder`, and itself, the modes and the time that they have in a layer.

    An engine that copies the folder by itself then makes a layer of the same files.
    """
    for place, _, files in os.walk(folder, topdown=False):
        for file in files:
            path = os.path.join(place, file)  # noqa: PTH118  # thousands of files
            found = os.lstat(path)
            if not stat.S_ISLNK(found.st_mode):
                os.chmod(path, _mode(found.st_mode))
            os.utime(path, (TIME, TIME), follow_symlinks=False)
        os.chmod(place, 0o755)  # noqa: S103  # what an image has
        os.utime(place, (TIME, TIME))


def digest_of(file: Path) -> str:
    """The digest of a file, as images name it ("sha256:…")."""
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


class Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


class Hashed:
    """A file that is written to, and what its digest is meanwhile."""

    def __init__(self, file: Writable | IO[bytes] | gzip.GzipFile) -> None:
        self._file: Any = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        """Left to the file itself: a gzip stream that is flushed in between has other bytes."""

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _with_parents(root: Path, inside: Sequence[str]) -> Iterator[Path]:
    """The folders from `root` down to each of `inside`, and all below it, each folder before what is in it."""
    given: set[Path] = set()
    for name in inside:
        for parent in reversed([root / parent for parent in PurePosixPath(name).parents if str(parent) != "."]):
            if parent not in given:
                given.add(parent)
                yield parent
        yield from _below(root / name)


def _below(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir(), key=lambda entry: entry.name.encode()):
            yield from _below(entry)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    found = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mtime = TIME
    if stat.S_ISLNK(found.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
        entry.mode = 0o777
        archive.addfile(entry)
    elif stat.S_ISDIR(found.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    elif stat.S_ISREG(found.st_mode):
        entry.size, entry.mode = found.st_size, _mode(found.st_mode)
        with path.open("rb") as stream:
            archive.addfile(entry, stream)


def _mode(mode: int) -> int:
    """Readable by all, and for its owner to change, who is root."""
    return 0o755 if mode & stat.S_IXUSR else 0o644
