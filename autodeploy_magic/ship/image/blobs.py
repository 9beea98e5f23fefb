"""Layers of base images that are kept between builds: files by their digest, of which those that nobody uses give way.

Builds run at the same time, in processes of their own, and any may be killed. So a blob that a build uses is locked by
it (flock), which ends with the process however that ends, and only what nobody has locked is removed. Nothing else is
noted anywhere: when a blob was used last is its file's time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.layers import CHUNK, Hashed

__all__ = ["Blobs", "check_digest"]

KEPT_BYTES = 4 * 2**30
"""Of all blobs together: some twenty images like python:slim, or one with CUDA."""
KEPT_S = 30 * 86400.0
"""For so long a blob is kept that no build has used."""
STALE_S = 3600.0
"""So old is what a build left half written, if nobody writes it any more."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BLOB = re.compile(r"[0-9a-f]{64}")
_NEW = ".new-"


class Blobs:
    """Files by their digest. One that is there is whole, and stays while this object is there and has asked for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[Path, int] = {}
        weakref.finalize(self, _close, self._held)

    def path(self, digest: str) -> Path:
        return self.folder / check_digest(digest).removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        """Whether it is there; it is then in use."""
        return self._hold(self.path(digest))

    def keep(self, digest: str, source: IO[bytes], what: str) -> Path:
        """Keep what `source` gives, whose digest must be that. Raises `ShipFailed` where it is not."""
        with self.new() as (stream, path):
            hashed = Hashed(stream)
            shutil.copyfileobj(source, hashed, CHUNK)
            if hashed.digest != digest:
                raise ShipFailed(
                    f"{what} is damaged",
                    why=f"{digest[:19]}… was announced, and {hashed.digest[:19]}… is what came",
                    fix="try again; if it is a file, save the image anew",
                )
            return self.put(digest, stream, path)

    @contextmanager
    def new(self) -> Iterator[tuple[IO[bytes], Path]]:
        """A file to write, which is gone at the end unless it was `put`."""
        with disk_full(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=_NEW)
            try:
                _lock(descriptor, fcntl.LOCK_SH)
                with os.fdopen(descriptor, "wb") as stream:
                    yield stream, Path(name)
            finally:
                Path(name).unlink(missing_ok=True)

    def put(self, digest: str, stream: IO[bytes], path: Path) -> Path:
        """Give a file that was written its place; the one that another build has put there meanwhile is as good."""
        target = self.path(digest)
        stream.flush()
        while not self._hold(target):
            try:
                os.link(path, target)
            except FileExistsError:
                continue
            except OSError:  # a file system without hard links
                os.replace(path, target)
        return target

    def note(self, name: str, text: str) -> None:
        """Write a small file beside the blobs, whole or not at all. `_about` says of which of them it tells."""
        with self.new() as (stream, path):
            stream.write(text.encode())
            stream.flush()
            os.replace(path, self.folder / name)

    def prune(self, most_bytes: int = KEPT_BYTES, most_s: float = KEPT_S) -> None:
        """Remove what was not used for `most_s`, then what was used least recently, down to `most_bytes`.

        What a build uses stays, and counts. So does what cannot be locked or removed: the next build tries again.
        """
        found = sorted(_blobs(self.folder), key=lambda one: one[1].st_mtime)
        total, now = sum(told.st_size for _, told in found), time.time()
        for path, told in found:
            if (total > most_bytes or now - told.st_mtime > most_s) and _remove(path, told.st_mtime):
                total -= told.st_size
        self._tidy(now)

    def _tidy(self, now: float) -> None:
        """Remove notes of blobs that are gone, and what builds that were killed have left half written."""
        for path in _listed(self.folder):
            with contextlib.suppress(OSError):  # another build has just done it
                told = path.stat().st_mtime
                if path.name.startswith(_NEW):
                    if now - told > STALE_S:
                        _remove(path, told)
                elif path.suffix and not self._about(path).exists():
                    path.unlink()

    def _about(self, note: Path) -> Path:
        """The blob that a note is of: HEX.json of that one, HEX.gzipped of the one whose digest stands in it."""
        if note.suffix == ".gzipped":
            digest = note.read_text("utf-8")
            return self.path(digest) if _DIGEST.fullmatch(digest) else self.folder / "none"
        return note.with_suffix("")

    def _hold(self, path: Path) -> bool:
        """Lock a file against its removal, and note that it was used; false where there is none."""
        if path in self._held:
            return True
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            _lock(descriptor, fcntl.LOCK_SH)  # whoever removes it has it for a moment
            if not _same(descriptor, path):
                os.close(descriptor)
                return False
            os.utime(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._held[path] = descriptor
        return True


def check_digest(digest: str) -> str:
    """Return a digest, which is to become a part of a path. Raises `ShipFailed` for anything else."""
    if _DIGEST.fullmatch(digest):
        return digest
    raise ShipFailed(f"{digest[:80]!r} is not a digest that is known", why="only SHA-256 is", fix="save it anew")


def _close(held: dict[Path, int]) -> None:
    while held:
        os.close(held.popitem()[1])


def _blobs(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in _listed(folder):
        if _BLOB.fullmatch(path.name):
            with contextlib.suppress(OSError):  # another build has just removed it
                yield path, path.stat()


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # nothing was kept so far


def _remove(path: Path, used: float) -> bool:
    """Remove a file that nobody has locked, nor used since; whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _same(descriptor, path) or os.fstat(descriptor).st_mtime > used:
            return False
        path.unlink()
    except OSError:
        return False  # in use; or it is not ours
    finally:
        os.close(descriptor)
    return True


def _lock(descriptor: int, how: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: nothing is removed there, for that takes one too
        fcntl.flock(descriptor, how)


def _same(descriptor: int, path: Path) -> bool:
    """Whether `path` still is the file that was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
