"""An image of a version: BentoML's own containerize, with the engine that is installed.

`build_image` runs in a clean process: BentoML reads the place of its store from the environment once, and engines write
to the output of the process that asks.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import ShipFailed

__all__ = ["ENGINES", "build_image", "can_move", "engine_for", "engines"]

ENGINES = ("docker", "podman", "nerdctl", "buildah")
"""What can build an image, in the order in which one is chosen."""


def engines() -> tuple[str, ...]:
    """The container engines that are installed."""
    return tuple(engine for engine in ENGINES if shutil.which(engine))


def engine_for(wanted: str | None) -> str:
    """The engine to build with: the one that is wanted, or the first that is installed. Raises `ShipFailed`."""
    found = engines()
    if wanted is None and found:
        return found[0]
    if wanted in found:
        return str(wanted)
    if wanted is not None and wanted not in ENGINES:
        raise ShipFailed(f"{wanted} is not a container engine that is known", fix=f"use one of {', '.join(ENGINES)}")
    raise ShipFailed(
        f"{wanted} is not installed" if wanted else "no container engine is installed",
        why=f"looked for {', '.join(ENGINES)} on the PATH of the background process",
        fix=f"use {found[0]}" if found else "install one, such as Podman (`apt install podman`), then try again",
    )


def can_move(version: Version) -> None:
    """Raise `ShipFailed` where the installer in an image would refuse the version's requirements, after minutes."""
    conflicts = version.environment.conflicts
    if conflicts:
        raise ShipFailed(
            f"v{version.number} of {version.deployment} cannot be installed in an image",
            why="; ".join(conflicts),
            fix="do what the lines say in the notebook's environment, then deploy again; it serves here all the same",
        )


def build_image(spec: dict[str, Any]) -> dict[str, Any]:
    """Build `spec["image"]` ("name:tag") of the Bento `spec["bento"]` with `spec["engine"]`, and return both names.

    Raises `ShipFailed`; what the engine wrote is added to it by the process that asked.
    """
    import bentoml.container
    from bentoml.exceptions import BentoMLException

    image, engine = spec["image"], spec["engine"]
    if not _answers(engine):
        raise ShipFailed(
            f"{engine} is installed and does not answer",
            why="it does not run, or this user may not use it",
            fix=f"`{engine} info` in a terminal says why; start it, then try again",
        )
    try:
        bentoml.container.build(spec["bento"], backend=engine, tag=(image,))
    except (BentoMLException, subprocess.SubprocessError, OSError, ValueError) as error:
        raise ShipFailed(
            f"{engine} could not build {image}",
            why=f"{type(error).__name__}: {error}",
            fix="the engine's own words are below; the deployment that serves was not touched",
        ) from error
    return {"image": image, "engine": engine}


def _answers(engine: str) -> bool:
    """Whether an engine that is installed runs, and is ours to use."""
    import bentoml.container

    try:
        return bool(bentoml.container.health(engine))
    except (subprocess.SubprocessError, OSError):
        return False
