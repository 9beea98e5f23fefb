"""Base images that hold next to nothing: what an image can be put on, where nothing of it is run."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.ship.image.slim import compile_all

__all__ = ["HERE", "Quick", "as_layout", "as_saved", "file_system"]

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""This Python, as images name theirs."""


def file_system(file: Path, *names: str, mode: str = "w") -> Path:
    """A tar of a file system with these files: those of a base image with this Python, where none are named."""
    with tarfile.open(file, mode) as archive:
        for name in names or ("etc/os-release", f"usr/bin/python{HERE}", "lib/x86_64-linux-gnu/libc.so.6"):
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return file


class Quick:
    """A `contracts.CleanRunner` for what needs no clean process: it saw these modules, and compiles here."""

    def __init__(self, *modules: str) -> None:
        self.modules = modules

    def run(self, target: str, spec: dict[str, Any], **_: Any) -> dict[str, Any]:
        if target.endswith(":compile_all"):
            return compile_all(spec)
        answers = msgspec.json.decode(Path(spec["folder"], "expected.json").read_bytes())
        return {"modules": list(self.modules), "answers": answers}


def as_layout(
    folder: Path,
    *,
    env: Sequence[str] = (),
    names: tuple[str, ...] = (),
    platforms: Sequence[str] = ("linux/amd64",),
) -> Path:
    """An OCI layout with an image for each of `platforms`."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    plain = file_system(folder / "plain.tar", *names)
    content = plain.read_bytes()
    plain.unlink()
    layer = put(gzip.compress(content, mtime=0), "layer.v1.tar+gzip")
    manifests = []
    for platform in platforms:
        system, architecture = platform.split("/")
        config = _config(content, system, architecture, env)
        manifest = {"schemaVersion": 2, "config": put(config, "config.v1+json"), "layers": [layer]}
        entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
        manifests.append({**entry, "platform": {"os": system, "architecture": architecture}})
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def as_saved(file: Path, *, compressed: bool) -> Path:
    """What `docker save` wrote before it wrote OCI layouts."""
    content = file_system(file.with_suffix(".plain")).read_bytes()
    config = _config(content, "linux", "amd64", ())
    files = {
        "1/layer.tar": gzip.compress(content, mtime=0) if compressed else content,
        "config.json": config,
        "manifest.json": json.dumps(
            [{"Config": "config.json", "RepoTags": ["base:1"], "Layers": ["1/layer.tar"]}]
        ).encode(),
    }
    with tarfile.open(file, "w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file


def _config(content: bytes, system: str, architecture: str, env: Sequence[str]) -> bytes:
    return json.dumps(
        {
            "os": system,
            "architecture": architecture,
            "config": {"Env": list(env), "Labels": {"of": "the base"}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
            "history": [{"created_by": "one"}, {"created_by": "two", "empty_layer": True}],
        }
    ).encode()
