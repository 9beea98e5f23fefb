"""The image that a lean one stands on, had without an engine: from a file, or from a registry.

A file is an OCI archive, what `docker save` or `podman save` wrote, a folder with an OCI layout, or a plain tar of a
file system. Layers are kept by their digest (`installing.cache_folder`), and each is checked against it; what has not
been used for long gives way (`blobs`).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Protocol

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.blobs import Blobs
from autodeploy_magic.ship.image.installing import cache_folder
from autodeploy_magic.ship.image.layers import Packed

__all__ = ["Base", "Source", "base_of", "default_base", "is_path", "open_base"]

GZIPPED = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN = "application/vnd.oci.image.layer.v1.tar"
OCI_KINDS = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": GZIPPED,
    "application/vnd.docker.image.rootfs.diff.tar": PLAIN,
}
"""What Docker calls a layer → what OCI does."""
LARGEST_RECORD = 8 * 1024 * 1024
"""Bytes of a manifest or a configuration."""

_PYTHON = re.compile(r"(?:^|/)bin/python(3\.\d+)$")
_MUSL = re.compile(r"(?:^|/)lib/ld-musl-")


@dataclass(frozen=True)
class Base:
    """A base image. `digest` is its manifest's, "" where it has none; `config` its configuration, as OCI has it.

    `blobs` is where its layers are: they stay there as long as this is held.
    """

    name: str
    digest: str
    config: dict[str, Any]
    layers: tuple[Packed, ...]
    notes: tuple[str, ...] = field(default=())
    blobs: Blobs | None = field(default=None, compare=False, repr=False)

    def history(self) -> list[dict[str, Any]]:
        """How it came to be: a line for each layer at least, where it tells itself."""
        told = [dict(one) for one in self.config.get("history") or ()]
        if sum(not one.get("empty_layer") for one in told) == len(self.layers):
            return told
        return [{"created_by": "base image"} for _ in self.layers]


class Source(Protocol):
    """Where an image is: gives its records, and its blobs."""

    def record(self, digest: str) -> bytes: ...

    def blob(self, digest: str, size: int) -> IO[bytes]: ...


def default_base(python: str) -> str:
    """The base image for Python `python` ("3.11")."""
    return f"docker.io/library/python:{python}-slim-bookworm"


def is_path(wanted: str) -> bool:
    """Whether a base is named by a file or a folder of this machine."""
    return wanted.startswith(("/", "./", "../", "~")) or wanted.endswith((".tar", ".tar.gz", ".tgz"))


def open_base(wanted: str, *, python: str, platform: str) -> Base:
    """The base image `wanted`: a path, or a reference that a registry knows. Raises `ShipFailed` or `DiskFull`.

    It is refused where it can be seen that `python` does not run there, or no wheel for the platform does.
    """
    blobs = Blobs(cache_folder() / "blobs")
    if is_path(wanted):
        from autodeploy_magic.ship.image.archive import from_path

        found = from_path(Path(wanted).expanduser(), platform, blobs)
    else:
        from autodeploy_magic.ship.image.registries import pull

        found = pull(wanted, platform, blobs)
    checked = replace(_checked(found, python), blobs=blobs)
    blobs.prune()
    return checked


def base_of(name: str, digest: str, manifest: dict[str, Any], source: Source, blobs: Blobs, platform: str) -> Base:
    """The image that a manifest describes, its layers fetched where they are not kept."""
    described = manifest.get("config") or {}
    config = _object(source.record(str(described.get("digest"))), f"the configuration of {name}")
    _right_platform(name, config, platform)
    diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
    entries = manifest.get("layers") or []
    if not entries or len(entries) != len(diff_ids):
        raise ShipFailed(f"{name} is not a container image", why="its manifest and its configuration do not agree")
    found = []
    for entry, diff_id in zip(entries, diff_ids, strict=True):
        layer, size, kind = str(entry["digest"]), int(entry["size"]), str(entry["mediaType"])
        file = blobs.path(layer)
        if not blobs.has(layer):
            with source.blob(layer, size) as stream:
                blobs.keep(layer, stream, f"a layer of {name}")
        kind = OCI_KINDS.get(kind, kind)
        found.append(Packed(file, layer, str(diff_id), size, 0, kind))
    return Base(name, digest, config, tuple(found))


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ShipFailed(f"{what} cannot be read", why="it is no JSON object", fix="save or push the image anew")
    return found


def _right_platform(name: str, config: dict[str, Any], platform: str) -> None:
    there = f"{config.get('os', 'linux')}/{config.get('architecture', '')}"
    if there != platform:
        raise ShipFailed(
            f"{name} is an image for {there}",
            why=f"one for {platform} is wanted",
            fix=f"use a base image for {platform}, or --platform {there}",
        )


def _checked(base: Base, python: str) -> Base:
    """Refuse a base that cannot run the image. What is seen of it is kept."""
    env = dict(line.partition("=")[::2] for line in (base.config.get("config") or {}).get("Env") or ())
    told = env.get("PYTHON_VERSION", "")
    pythons = {".".join(told.split(".")[:2])} if told else set()
    musl, unseen = False, False
    layers = []
    for layer in base.layers:
        seen = _look(layer)
        layers.append(replace(layer, unpacked_bytes=seen["bytes"] if seen else layer.size_bytes))
        if seen is None:
            unseen = True
            continue
        pythons |= set(seen["pythons"])
        musl = musl or bool(seen["musl"])
    if musl:
        raise ShipFailed(
            f"{base.name} has musl as its C library (Alpine has it)",
            why="wheels of numpy, onnxruntime and others here are made for glibc",
            fix=f"use a base of Debian, Ubuntu or Red Hat, such as {default_base(python)}",
        )
    if pythons and python not in pythons:
        raise ShipFailed(
            f"{base.name} has Python {', '.join(sorted(pythons))}, and the version was made with {python}",
            why="compiled packages, and pickles, are for one Python",
            fix=f"use a base with Python {python}, such as {default_base(python)}",
        )
    notes = () if pythons or unseen else (f"no python{python} was seen in {base.name}",)
    return replace(base, layers=tuple(layers), notes=notes)


def _look(layer: Packed) -> dict[str, Any] | None:
    """Which Pythons, and which C library, are among the names in a layer, and how long it is; None for one that cannot
    be read here."""
    known = layer.file.with_name(f"{layer.file.name}.json")
    try:
        seen: dict[str, Any] = json.loads(known.read_bytes())
        return {"pythons": seen["pythons"], "musl": seen["musl"], "bytes": seen["bytes"]}
    except (OSError, ValueError, KeyError):
        pass  # not looked at before
    if layer.media_type not in (GZIPPED, PLAIN):
        return None  # zstd
    pythons, musl = set(), False
    try:
        with tarfile.open(layer.file, mode="r|gz" if layer.media_type == GZIPPED else "r|") as archive:
            for member in archive:
                if match := _PYTHON.search(member.name):
                    pythons.add(match[1])
                musl = musl or bool(_MUSL.search(member.name))
            length = archive.offset
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, OSError) as error:
        raise ShipFailed(
            "a layer of the base image cannot be read", why=str(error), fix="pull or save it anew"
        ) from error
    seen = {"pythons": sorted(pythons), "musl": musl, "bytes": length}
    with disk_full(known.parent):
        known.write_text(json.dumps(seen), "utf-8")
    return seen


def sha256_of(data: bytes) -> str:
    """The digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
