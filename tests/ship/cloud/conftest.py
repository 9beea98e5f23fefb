"""A version that can be shipped, and stand-ins for the clouds' command lines."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from clouds import Folder, Tools
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Desired, Version
from autodeploy_magic.ship.base import Cargo
from autodeploy_magic.ship.write import chosen, target_of
from autodeploy_magic.shipping import Image

Make = Callable[..., Cargo]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a version of a classifier with texts as labels."""
    folder = tmp_path_factory.mktemp("version")
    write_version(folder, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X)
    return folder


@pytest.fixture(scope="session")
def make(model: Path) -> Make:
    """Make a cargo: `make("lambda", memory="512", note="…")`; what is no option changes version, desired or image."""
    version = msgspec.json.decode((model / "version.json").read_bytes(), type=Version)
    image = Image(
        deployment="iris",
        version=1,
        version_digest=version.digest,
        name="localhost/iris:v1",
        flavour="lean",
        engine="podman",
        rss_bytes=73 * 2**20,
        ready_s=1.2,
        size_bytes=181 * 2**20,
    )

    def cargo(
        place: str,
        *,
        reference: str | None = None,
        image: Image | None = image,
        desired: Mapping[str, Any] | None = None,
        version: Any = version,
        **options: str,
    ) -> Cargo:
        return Cargo(
            version=version,
            desired=Desired(**{"name": "iris", "version": 1, "executable": sys.executable, **(desired or {})}),
            model=model,
            record=model,
            image=image,
            reference=reference if reference is not None else image.name if image else "",
            options=chosen(place, target_of(place).choices, options),
        )

    return cargo


@pytest.fixture
def ship(tmp_path: Path, make: Make) -> Callable[..., Folder]:
    """Write a place's files as `ship` does, after it has had its chance to refuse."""

    def write(place: str, **changes: Any) -> Folder:
        cargo = make(place, **changes)
        path = tmp_path / f"{place} it's here"  # scripts are run where people keep them
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        target = target_of(place)
        target.refuse(cargo)
        written = target.write(cargo, path, lambda _: None)
        return Folder(place, path, cargo, written.notes, written.next)

    return write


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path / "tools")
