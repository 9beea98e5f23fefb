"""Deployments that all clients of this folder speak to: each is made once, by a supervisor of their own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployed import PEOPLE, TEXTS, Deployed, deploy, iris_model, mood_model, people_model
from versions import X
from world import World

from autodeploy_magic import settings
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A supervisor on a state folder that lasts as long as the tests."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("clients")
        patch.setenv("AUTODEPLOY_HOME", str(home))
        settings.reset()
        store = Store(home)
        world = World(store, connect(store))
    settings.reset()
    yield world
    world.end()


@pytest.fixture(scope="session")
def iris(world: World) -> Deployed:
    """An array of numbers, by ONNX, in two workers; versions 2 and 3 are kept besides."""
    found = deploy(world, "iris", iris_model(), X, workers=2)
    world.version("iris", c=0.01)
    world.version("iris", c=0.5)
    return found


@pytest.fixture(scope="session")
def people(world: World) -> Deployed:
    """A table of many dtypes, by scikit-learn."""
    return deploy(world, "people", people_model(), PEOPLE)


@pytest.fixture(scope="session")
def mood(world: World) -> Deployed:
    """A list of texts."""
    return deploy(world, "mood", mood_model(), TEXTS)


@pytest.fixture(scope="session")
def kserve_python(request: pytest.FixtureRequest) -> Path:
    """A Python with kserve, which no environment can hold beside this package; kept in pytest's cache."""
    wanted = Path(__file__).with_name("kserve.txt")
    key = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir(f"kserve-{key}")
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        shutil.rmtree(folder)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"]
        installed = subprocess.run([*pip, "-r", wanted], capture_output=True, text=True, timeout=500, check=False)
        if installed.returncode != 0:
            pytest.skip(f"pip could not install kserve ({wanted.name}): {installed.stderr.strip()[-500:]}")
        whole.touch()
    return python
