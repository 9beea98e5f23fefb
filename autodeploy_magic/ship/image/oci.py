"""An image as one file, written without an engine: an OCI layout in a tar, which `docker load` reads as well.

`podman load -i FILE`, `docker load -i FILE`, `skopeo copy oci-archive:FILE docker://…` take it, and so does what builds
on them. The same content is the same bytes.
Source: OCI image-spec 1.1 (layout, manifest, config); for `docker load` its manifest.json, which names the same blobs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.image.base import Base
from autodeploy_magic.ship.image.containerfile import HEALTH
from autodeploy_magic.ship.image.context import Context, Part
from autodeploy_magic.ship.image.installing import KEPT, cache_folder
from autodeploy_magic.ship.image.layers import TIME, Packed, pack
from autodeploy_magic.ship.text import check_reference, check_text

__all__ = ["CONFIG", "INDEX", "MANIFEST", "Archive", "pack_part", "write_archive"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Archive:
    """What was written. `digest` is the manifest's, as registries know it; `config_digest` is Docker's own ID."""

    file: Path
    digest: str
    config_digest: str
    size_bytes: int
    added_bytes: int


def write_archive(target: Path, context: Context, base: Base, packed: Sequence[Packed], reference: str) -> Archive:
    """Write the image of `context` on `base`, whose parts are `packed`, to `target`, whole or not at all.

    `reference` is the name that an engine gives it when it loads it ("localhost/iris:v3"). Raises `ShipFailed` or
    `DiskFull`; what was at `target` before is then still there.
    """
    name = _tagged(check_reference(reference))
    config = _json(_config(context.on(base.name, base.digest), base, packed))
    config_digest = _digest(config)
    found = [(layer.media_type, layer.digest, layer.size_bytes, layer.file) for layer in (*base.layers, *packed)]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config_digest, "size": len(config)},
            "layers": [{"mediaType": kind, "digest": digest, "size": size} for kind, digest, size, _ in found],
            "annotations": dict(sorted(context.on(base.name, base.digest).labels.items())),
        }
    )
    digest = _digest(manifest)
    entry = {"mediaType": MANIFEST, "digest": digest, "size": len(manifest)}
    entry["platform"] = dict(zip(("os", "architecture"), context.platform.split("/"), strict=True))
    entry["annotations"] = {
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        "io.containerd.image.name": name,
    }
    blobs: dict[str, Path | bytes] = {config_digest: config, digest: manifest}
    blobs |= {layer_digest: file for _, layer_digest, _, file in found}
    docker = [
        {
            "Config": _place(config_digest),
            "RepoTags": [name],
            "Layers": [_place(layer_digest) for _, layer_digest, _, _ in found],
        }
    ]
    with _whole(target) as stream, tarfile.open(mode="w", fileobj=stream, format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}))
        _add(archive, "manifest.json", _json(docker))
        for folder in ("blobs", "blobs/sha256"):
            _folder(archive, folder)
        for one in sorted(blobs):
            _add(archive, _place(one), blobs[one])
    return Archive(
        file=target,
        digest=digest,
        config_digest=config_digest,
        size_bytes=sum(layer.unpacked_bytes for layer in (*base.layers, *packed)),
        added_bytes=sum(layer.unpacked_bytes for layer in packed),
    )


def pack_part(context: Context, part: Part, folder: Path) -> Packed:
    """A part of `context` as a layer: in `folder`, or where it is kept between builds if it has a key.

    Raises `DiskFull`.
    """
    if part.key:
        return _kept(context, part)
    return pack(context.root, part.paths, folder / f"{part.name}.tar.gz")


def _kept(context: Context, part: Part) -> Packed:
    """A layer that is kept between builds, or is from now on."""
    place = cache_folder() / "layers"
    note = place / f"{part.key}.json"
    try:
        told = json.loads(note.read_bytes())
        found = Packed(file=place / told.pop("file"), **told)
        if found.file.stat().st_size == found.size_bytes:
            os.utime(note)
            return found
    except (OSError, ValueError, TypeError, KeyError):
        pass  # there is none
    with disk_full(place):
        place.mkdir(parents=True, exist_ok=True)
        for old in sorted(place.glob("*.json"), key=lambda file: file.stat().st_mtime)[: -KEPT + 1]:
            old.with_suffix(".tar.gz").unlink(missing_ok=True)
            old.unlink(missing_ok=True)
        part_file = place / f".{part.key}.{secrets.token_hex(4)}"
        try:
            made = pack(context.root, part.paths, part_file)
            file = part_file.rename(place / f"{part.key}.tar.gz")
        finally:
            part_file.unlink(missing_ok=True)
        told = {**{name: getattr(made, name) for name in made.__dataclass_fields__}, "file": file.name}
        note.write_text(json.dumps(told), "utf-8")
    return replace(made, file=file)


def _config(context: Context, base: Base, packed: Sequence[Packed]) -> dict[str, Any]:
    """The image's configuration: the base's own, and over it how ours is run."""
    before = dict(base.config.get("config") or {})
    env = dict(line.partition("=")[::2] for line in before.get("Env") or ())
    env |= {name: check_text(value, name) for name, value in context.env.items()}
    created = _time(context.created)
    history = base.history()
    history += [
        {"created": created, "created_by": f"COPY {' '.join(part.paths)}", "comment": "autodeploy_magic"}
        for part in context.parts
    ]
    system, _, architecture = context.platform.partition("/")
    return {
        **{name: base.config[name] for name in ("variant",) if name in base.config},
        "created": created,
        "architecture": architecture,
        "os": system,
        "config": {
            "User": context.user,
            "ExposedPorts": {f"{context.port}/tcp": {}},
            "Env": [f"{name}={value}" for name, value in env.items()],
            "Entrypoint": list(context.entrypoint),
            "WorkingDir": context.workdir,
            "Labels": {
                **(before.get("Labels") or {}),
                **{name: check_text(value, name) for name, value in context.labels.items()},
            },
            "StopSignal": context.stop_signal,
            # Docker's own addition to the specification.
            "Healthcheck": {
                "Test": ["CMD", *context.health],
                "Interval": HEALTH["interval"] * _SECOND,
                "Timeout": HEALTH["timeout"] * _SECOND,
                "StartPeriod": HEALTH["start-period"] * _SECOND,
                "Retries": HEALTH["retries"],
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in (*base.layers, *packed)]},
        "history": history,
    }


def _time(iso: str) -> str:
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        found = datetime.fromtimestamp(TIME, UTC)
    return found.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _tagged(reference: str) -> str:
    """The reference with a tag: `docker load` wants one."""
    name = reference.partition("@")[0]
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _entry(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode = TIME, 0o644
    return entry


def _folder(archive: tarfile.TarFile, name: str) -> None:
    entry = _entry(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)


def _add(archive: tarfile.TarFile, name: str, data: Path | bytes) -> None:
    entry = _entry(name)
    if isinstance(data, bytes):
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
        return
    with data.open("rb") as stream:
        entry.size = os.fstat(stream.fileno()).st_size
        archive.addfile(entry, stream)


@contextmanager
def _whole(target: Path) -> Iterator[IO[bytes]]:
    """A file that is there when all of it is written, and not before."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with disk_full(target.parent):
            with part.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, target)
    except OSError as error:
        raise ShipFailed(
            f"{target} could not be written", why=str(error), fix="choose a folder that you may write to (--to)"
        ) from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
