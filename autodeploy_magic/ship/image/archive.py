"""A base image from a file of this machine: an OCI archive or layout, what engines save, or a tar of a file system."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.base import (
    GZIPPED,
    LARGEST_RECORD,
    PLAIN,
    Base,
    base_of,
    sha256_of,
)
from autodeploy_magic.ship.image.blobs import Blobs, check_digest
from autodeploy_magic.ship.image.layers import CHUNK, LEVEL, Hashed, Packed, digest_of
from autodeploy_magic.ship.image.manifests import chosen

__all__ = ["from_path"]

_MAGIC = {b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
_ROOTS = {"bin", "etc", "usr", "lib"}
"""Folders of which a file system has some."""


class _Files(Protocol):
    """The files of an archive, or of a folder, by their names."""

    def has(self, name: str) -> bool: ...

    def open(self, name: str) -> IO[bytes]: ...


def from_path(path: Path, platform: str, blobs: Blobs) -> Base:
    """The image in the file or folder `path`. Raises `ShipFailed` where it holds none."""
    if not path.exists():
        raise ShipFailed(f"there is no {path}", why="it is to be the base image", fix="name an archive, or a reference")
    name = path.name  # it becomes a label of the image, and folders of this machine are nobody's business
    try:
        with _files(path) as files:
            if files.has("index.json"):
                return _layout(name, files, platform, blobs)
            if files.has("manifest.json"):
                return _saved(name, files, platform, blobs)
            if isinstance(files, _Tar) and _ROOTS & {entry.partition("/")[0] for entry in files.names()}:
                return _file_system(path, platform, blobs)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise _no_image(name, str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # its records are not what they should be
        raise _no_image(name, f"{type(error).__name__}: {error}") from error
    except PermissionError as error:
        raise ShipFailed(f"{path} cannot be read", why=str(error), fix=f"sudo chown $USER {path}") from error
    raise _no_image(name, "it has neither an index.json, nor a manifest.json, nor the folders of a file system")


@contextmanager
def _files(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Folder(path)
        return
    with path.open("rb") as stream:
        start = stream.read(8)
    packed = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")
    if packed:
        raise ShipFailed(
            f"{path} is compressed with {packed}", why="only gzip is read here", fix=f"unpack it first: {packed} -d"
        )
    with tarfile.open(path, "r:*") as archive:
        yield _Tar(archive)


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, name: str) -> bool:
        return (self._root / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        try:
            return (self._root / name).open("rb")
        except FileNotFoundError as error:
            raise _no_image(str(self._root), f"{name} is missing") from error


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members = {os.path.normpath(member.name): member for member in archive}

    def names(self) -> list[str]:
        return list(self._members)

    def has(self, name: str) -> bool:
        return name in self._members

    def open(self, name: str) -> IO[bytes]:
        """The bytes of a file; `docker save` has layers of several images as links to one another."""
        member = self._members.get(os.path.normpath(name))
        stream = self._archive.extractfile(member) if member is not None else None
        if stream is None:
            raise _no_image(str(self._archive.name), f"{name} is missing")
        return stream


class _Blobs:
    """A layout as a `base.Source`."""

    def __init__(self, files: _Files) -> None:
        self._files = files

    def record(self, digest: str) -> bytes:
        with self.blob(digest, 0) as stream:
            data = stream.read(LARGEST_RECORD + 1)
        if sha256_of(data) != digest:
            raise ShipFailed("the base image is damaged", why=f"{digest[:19]}… is another file", fix="save it anew")
        return data

    def blob(self, digest: str, size: int) -> IO[bytes]:
        return self._files.open(f"blobs/{check_digest(digest).replace(':', '/')}")


def _layout(name: str, files: _Files, platform: str, blobs: Blobs) -> Base:
    source = _Blobs(files)
    with files.open("index.json") as stream:
        index = json.loads(stream.read(LARGEST_RECORD))
    digest, manifest = chosen(name, index, platform, source)
    return base_of(name, digest, manifest, source, blobs, platform)


def _saved(name: str, files: _Files, platform: str, blobs: Blobs) -> Base:
    """What `docker save` wrote before it wrote OCI layouts: layers are tars, named by nothing that is their digest."""
    with files.open("manifest.json") as stream:
        images = json.loads(stream.read(LARGEST_RECORD))
    if len(images) != 1:
        raise ShipFailed(f"{name} holds {len(images)} images", why="one is wanted", fix="save the one image alone")
    with files.open(images[0]["Config"]) as stream:
        config = stream.read(LARGEST_RECORD)
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    entries: list[dict[str, Any]] = []
    for place, diff_id in zip(images[0]["Layers"], diff_ids, strict=True):
        with files.open(place) as stream:
            compressed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            layer = diff_id
            if compressed:
                layer = _digest(stream)
                stream.seek(0)
            file = blobs.path(layer) if blobs.has(layer) else blobs.keep(layer, stream, f"a layer of {name}")
        kind = GZIPPED if compressed else PLAIN
        entries.append({"digest": layer, "size": file.stat().st_size, "mediaType": kind})
    manifest = {"config": {"digest": sha256_of(config)}, "layers": entries}
    return base_of(name, "", manifest, _Given(config), blobs, platform)


class _Given:
    """A `base.Source` of a configuration whose layers are kept already."""

    def __init__(self, config: bytes) -> None:
        self._config = config

    def record(self, digest: str) -> bytes:
        return self._config

    def blob(self, digest: str, size: int) -> IO[bytes]:
        return io.BytesIO()


def _file_system(path: Path, platform: str, blobs: Blobs) -> Base:
    """A tar of a file system, as `mmdebstrap` and `podman export` write it, as an image of one layer."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    if compressed:
        digest = digest_of(path)
        with gzip.open(path) as plain:
            diff_id = _digest(plain)
        if not blobs.has(digest):
            with path.open("rb") as stream:
                blobs.keep(digest, stream, str(path))
    else:
        diff_id = digest_of(path)
        digest = _gzipped(path, diff_id, blobs)
    file = blobs.path(digest)
    system, _, architecture = platform.partition("/")
    config = {
        "os": system,
        "architecture": architecture,
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    return Base(path.name, "", config, (Packed(file, digest, diff_id, file.stat().st_size, 0),))


def _gzipped(path: Path, diff_id: str, blobs: Blobs) -> str:
    """Keep `path` compressed; its digest. That it was done is noted, since it takes a second for each 50 MB."""
    note = blobs.folder / f"{diff_id.removeprefix('sha256:')}.gzipped"
    if note.is_file() and blobs.has(note.read_text("ascii")):
        return note.read_text("ascii")
    with blobs.new() as (stream, part):
        hashed = Hashed(stream)
        gzipped = gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=hashed, mtime=0)
        with gzipped, path.open("rb") as plain:
            shutil.copyfileobj(plain, gzipped, CHUNK)
        blobs.put(hashed.digest, stream, part)
    blobs.note(note.name, hashed.digest)
    return hashed.digest


def _digest(stream: IO[bytes] | gzip.GzipFile) -> str:
    import hashlib

    found = hashlib.sha256()
    while data := stream.read(CHUNK):
        found.update(data)
    return f"sha256:{found.hexdigest()}"


def _no_image(name: str, why: str) -> ShipFailed:
    return ShipFailed(
        f"{name} holds no container image",
        why=why,
        fix="use what `podman save --format oci-archive`, `docker save` or `skopeo copy` wrote, or a file system's tar",
    )
