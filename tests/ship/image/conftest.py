"""A version as it is in the store, its image staged once, and a small base image: nothing here needs an engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from bases import HERE
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.build import SubprocessRunner
from autodeploy_magic.build.environment.installer import find_uv
from autodeploy_magic.build.environment.pins import pins
from autodeploy_magic.contracts import Environment, Version, encode
from autodeploy_magic.ship.image.context import Context, stage


@pytest.fixture(scope="session", autouse=True)
def kept_between_builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that is not the person's; but for uv's, which has the wheels."""
    folder = tmp_path_factory.mktemp("cache")
    uv = subprocess.run([find_uv(), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR", uv))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Path]:
    """A version of a scikit-learn model that is served as ONNX, and its folder."""
    folder = tmp_path_factory.mktemp("version") / "model"
    version = write_version(folder, LogisticRegression(max_iter=1000).fit(X, NAMES[Y]), X)
    version = with_environment(version, folder)
    return version, folder


def with_environment(version: Version, folder: Path, **changes: object) -> Version:
    """The version with the pins that a build would have given it, in its folder too."""
    environment = Environment(python="3.11.2", platform="linux-x86_64", requirements=pins(("onnxruntime",)))
    version = msgspec.structs.replace(version, environment=environment, **changes)
    (folder / "version.json").write_bytes(encode(version))
    return version


@pytest.fixture(scope="session")
def context(made: tuple[Version, Path], tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The image of that version, staged for this machine. It is read, and not written to."""
    version, model = made
    return stage(version, model, tmp_path_factory.mktemp("image"), runner=SubprocessRunner(), python=HERE)
