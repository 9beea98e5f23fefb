"""The part of packaging that runs in a clean process: BentoML's public API, in the deployment's own BENTOML_HOME.

A process of its own, since building twice in one process accumulates options (a list that BentoML shares), and since
the store's place is read from the environment once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from autodeploy_magic.disk import disk_full
from autodeploy_magic.errors import AutodeployError, PackageFailed

__all__ = ["make"]


def make(spec: dict[str, Any]) -> dict[str, Any]:
    """Put `spec["model_folder"]` into the model store and build the Bento of `spec["source_folder"]` around it.

    `spec["tag"]` ("name:version") names both; `requirements` are exact pins; `python` is the version ("3.11"),
    `system_packages` what Debian has to bring to an image besides. Returns the tag, and the two paths below
    BENTOML_HOME. Raises `PackageFailed` or `DiskFull`, and leaves nothing behind.
    """
    import bentoml
    import bentoml.models
    from bentoml.exceptions import BentoMLException

    tempfile.tempdir = spec["scratch_folder"]  # BentoML stages there: the same disk, and gone with the build
    home = Path(os.environ["BENTOML_HOME"]).resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    tag = spec["tag"]
    name, _, version = tag.partition(":")
    if any((home / kind / name / version).exists() for kind in ("bentos", "models")):
        _forget(tag)  # what a process that was killed in here left behind
    try:
        with disk_full(home):
            with bentoml.models.create(tag) as model:
                shutil.copytree(spec["model_folder"], model.path, dirs_exist_ok=True)
            made = bentoml.build(
                "service:Deployment",
                name=name,
                version=version,
                build_ctx=spec["source_folder"],
                labels=spec["labels"],
                python={"packages": list(spec["requirements"]), "lock_packages": False},
                docker={"python_version": spec["python"], **_system(spec.get("system_packages"))},
            )
    except AutodeployError:
        _forget(tag)
        raise
    except (BentoMLException, OSError, ValueError, ImportError) as error:
        _forget(tag)
        raise PackageFailed(
            f"BentoML could not build {tag}",
            why=f"{type(error).__name__}: {error}",
            fix="`%deploy doctor` checks the installation; the version that was serving still does",
        ) from error
    return {
        "bento": str(made.tag),
        "bento_path": str(Path(made.path).resolve().relative_to(home)),
        "model_path": str(Path(bentoml.models.get(tag).path).resolve().relative_to(home)),
    }


def _system(packages: list[str] | None) -> dict[str, Any]:
    """What an image installs besides, where there is any: BentoML makes a step of its own of it."""
    return {"system_packages": list(packages)} if packages else {}


def _forget(tag: str) -> None:
    """Remove a Bento and a model where they are there."""
    import bentoml
    import bentoml.models
    from bentoml.exceptions import NotFound

    for delete in (bentoml.delete, bentoml.models.delete):
        with contextlib.suppress(NotFound):
            delete(tag)
