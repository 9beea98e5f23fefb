"""What a worker is told in an image: the version in its folder, the settings of its environment, and no supervisor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from autodeploy_magic.contracts import Version, decode
from autodeploy_magic.errors import StartFailed
from autodeploy_magic.formats import format_of
from autodeploy_magic.serve.alone.environment import Given
from autodeploy_magic.serve.alone.folder import PROMETHEUS
from autodeploy_magic.serve.worker import Spec

__all__ = ["make_order", "read_version"]


def read_version(folder: Path) -> Version:
    """The version in a folder, which this Python can load. Raises `StartFailed` or `UnreadableRecord`."""
    file = folder / "version.json"
    try:
        version = decode(Version, file.read_bytes(), source=str(file))
    except OSError as error:
        raise StartFailed(
            f"there is no version in {folder}",
            why=f"{file} cannot be read: {error.strerror or error}",
            fix="set AUTODEPLOY_MODEL to the folder of a version, the one that holds version.json",
        ) from error
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = ".".join(version.environment.python.split(".")[:2])
    if made != here and _is_of_one_python(version):
        raise StartFailed(
            f"v{version.number} of {version.deployment} was made by Python {made}, and this is Python {here}",
            why="it holds pickled code, which another minor version of Python may read wrongly",
            fix=f"run it with Python {made}, as the image of it does",
        )
    return version


def make_order(
    given: Given, version: Version, state: Path, *, token_file: str, workers: int = 1, **changes: Any
) -> dict[str, Any]:
    """A `Spec` as JSON values; `changes` are fields that are otherwise than the environment has them."""
    own = {given.predict_route: f"/v1/models/{version.deployment}:predict", given.health_route: "/readyz"}
    spec = Spec(
        name=version.deployment,
        version=version.number,
        generation=1,
        folder=str(given.model),
        bento_path="",
        workers=workers,
        token_file=token_file,
        tls=given.tls,
        control="",
        prometheus=str(state / PROMETHEUS),
        metrics=str(state / "metrics.sqlite"),
        requests=str(state / "requests.sqlite"),
        log_file="",
        aliases={path: ours for path, ours in own.items() if path},
        alone=True,
        linger_s=given.linger_s,
        settings=dict(given.settings),
    )
    values: dict[str, Any] = msgspec.to_builtins(spec)
    return {**values, **changes}


def _is_of_one_python(version: Version) -> bool:
    """Whether it holds what another minor version of Python cannot be trusted to read."""
    return format_of(version.format).opaque or any(item.role == "code" for item in version.artifacts)
