"""What a lean image holds, laid out in a folder as it will lie in the image, and how it is to be run.

    app/packages        third-party packages
    app/autodeploy      the part of this package that serves
    app/model           what a worker loads
    app/sbom.cdx.json   what all that is

No step of a build runs anything: the folder is copied onto a base image, by any engine or by none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autodeploy_magic import settings as knobs
from autodeploy_magic.build.environment.system import debian_packages
from autodeploy_magic.build.source import copy_serving_files
from autodeploy_magic.contracts import CleanRunner, Version
from autodeploy_magic.disk import disk_full
from autodeploy_magic.formats import format_of
from autodeploy_magic.ship.image import layers
from autodeploy_magic.ship.image.installing import Tell, check_platform, compiles, install
from autodeploy_magic.ship.image.packages import needed
from autodeploy_magic.ship.image.sbom import SBOM, distributions, write_sbom
from autodeploy_magic.ship.text import check_text, holds_secret, one_line
from autodeploy_magic.shipping import APP_USER, PORT

__all__ = ["Context", "Part", "environment_of", "labels_of", "python_of", "stage"]

ENTRY = "autodeploy_magic.serve.alone"

_COMPILE = "autodeploy_magic.ship.image.slim:compile_all"


@dataclass(frozen=True)
class Part:
    """One layer: paths below the context's root ("app/model"). `key` names it where it is kept between builds."""

    name: str
    paths: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True)
class Context:
    """A staged image. `root` is the folder that holds `app`; the parts stand in the order of their layers.

    `created` is the time of the version, ISO 8601. `content` is the digest of all that lies in `root`.
    """

    root: Path
    parts: tuple[Part, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    entrypoint: tuple[str, ...]
    health: tuple[str, ...]
    python: str
    platform: str
    created: str
    content: str
    notes: tuple[str, ...] = ()
    user: str = f"{APP_USER}:{APP_USER}"
    workdir: str = "/app"
    port: int = PORT
    stop_signal: str = "SIGTERM"

    def on(self, name: str, digest: str = "") -> Context:
        """The same with the base image that it stands on among its labels."""
        base = {"org.opencontainers.image.base.name": one_line(name)} if name else {}
        if digest:
            base["org.opencontainers.image.base.digest"] = digest
        return replace(self, labels={**self.labels, **base})


def python_of(version: Version) -> str:
    """The Python that the version was made with, as in "3.11"."""
    return ".".join(version.environment.python.split(".")[:2])


def stage(
    version: Version,
    model: Path,
    folder: Path,
    *,
    runner: CleanRunner,
    record: Path | None = None,
    python: str = "",
    platform: str = "linux/amd64",
    settings: Mapping[str, Any] | None = None,
    grpc: bool = False,
    tell: Tell = lambda line: None,
) -> Context:
    """Lay out the image of the version in the folder `model` in `folder`, which is empty.

    `record` is the folder with all rows that verified it; `settings` are those of its deployment, `grpc` whether that
    has the gRPC port; `tell` is given lines of what takes long. Raises `InvalidOption` for a platform or a value that
    cannot be, `ShipFailed` or `DiskFull`.
    """
    check_platform(platform)
    python = python or python_of(version)
    settings = knobs.of_workers(settings or {})
    features = [*(["grpc"] if grpc else []), *(["otlp_endpoint"] if settings.get("otlp_endpoint") else [])]
    env, notes = environment_of(settings, version)
    if grpc:
        notes += ("gRPC has a port where AUTODEPLOY_GRPC_PORT names one: set it where the image runs, and publish it",)
    tell("replaying the sample, to see which packages it needs")
    found = needed(version, model, record, runner, features)
    tell(f"{len(found.pins)} packages: {', '.join(found.pins)}")
    packages = install(found, python, platform, runner, whole=_has_code(version), tell=tell)
    app = folder / "app"
    with disk_full(folder):
        app.mkdir(parents=True)
        link_tree(packages.folder, app / "packages")
        copy_serving_files(app / "autodeploy")
        shutil.copytree(model, app / "model", ignore=shutil.ignore_patterns("__pycache__"))
        if compiles(python):
            runner.run(_COMPILE, {"folder": str(app / "autodeploy"), "inside": "/app/autodeploy"})
        else:
            notes += (f"nothing is compiled ahead, since there is no Python {python} here: it starts a little later",)
        write_sbom(version, app / "model", distributions(app / "packages"), folder / SBOM)
    for part in ("autodeploy", "model"):
        layers.normalise(app / part)
    for path in (folder / SBOM, app, folder):
        os.chmod(path, 0o644 if path.is_file() else 0o755)
        os.utime(path, (layers.TIME, layers.TIME))
    parts = (
        Part("packages", ("app/packages",), packages.key),
        Part("ours", ("app/autodeploy",)),
        Part("model", ("app/model", SBOM)),
    )
    return Context(
        root=folder,
        parts=parts,
        env=env,
        labels=labels_of(version),
        entrypoint=(f"python{python}", "-m", ENTRY),
        health=(f"python{python}", "-m", ENTRY, "health"),
        python=python,
        platform=platform,
        created=version.created_at,
        content=layers.content(folder, ["app"]),
        notes=(*found.notes, *packages.notes, *notes),
    )


def link_tree(source: Path, target: Path) -> None:
    """Make `target` like `source`, of links to the same files where that can be: nothing may be written to them."""

    def link(file: str, place: str) -> None:
        try:
            os.link(file, place, follow_symlinks=False)
        except OSError:  # another disk
            shutil.copy2(file, place, follow_symlinks=False)

    shutil.copytree(source, target, copy_function=link, symlinks=True)


def _has_code(version: Version) -> bool:
    """Whether loading or answering may run code that is neither ours nor of the model's own library."""
    return format_of(version.format).opaque or any(item.role in ("code", "module") for item in version.artifacts)


def labels_of(version: Version) -> dict[str, str]:
    """What an image says of itself: OCI's annotations, and which version of what it is."""
    title = f"{version.model_type.rpartition('.')[2]} ({version.task}), served by autodeploy_magic"
    found = {
        "org.opencontainers.image.title": version.deployment,
        "org.opencontainers.image.version": str(version.number),
        "org.opencontainers.image.created": version.created_at,
        "org.opencontainers.image.description": version.note or title,
        "autodeploy_magic.deployment": version.deployment,
        "autodeploy_magic.version": str(version.number),
        "autodeploy_magic.digest": version.digest,
        "autodeploy_magic.format": version.format,
        "autodeploy_magic.task": version.task,
    }
    return {name: one_line(value) for name, value in found.items()}


def environment_of(settings: Mapping[str, Any], version: Version) -> tuple[dict[str, str], tuple[str, ...]]:
    """The image's environment, and what is good to know of it."""
    env = {
        "PYTHONPATH": "/app/autodeploy:/app/packages",
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "AUTODEPLOY_MODEL": "/app/model",
        "AUTODEPLOY_STATE": "/tmp/autodeploy",  # noqa: S108  # in a container, which has its own
        "HOME": "/tmp",  # noqa: S108
    }
    notes = []
    for name, value in sorted(settings.items()):
        knob = knobs.KNOBS.get(name)
        if knob is None or value == knob.default:
            continue
        if knob.unit == "path":
            notes.append(f"{name} names a file of this machine: mount it, and set {knob.env}")
        elif holds_secret(value):
            notes.append(f"{name} holds a password or a key, which an image does not: set {knob.env} where it runs")
        else:
            env[knob.env] = check_text(str(value).lower() if isinstance(value, bool) else str(value), name)
    libraries = version.environment.system_libraries
    if libraries:
        packages = " ".join(debian_packages(libraries)) or "the packages that have them"
        notes.append(f"it loads {', '.join(libraries)}, which slim base images lack: use one with {packages}")
    return env, tuple(notes)
