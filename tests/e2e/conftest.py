"""A supervisor for the tests of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World

from autodeploy_magic import settings
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """It runs on a state folder of the file's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPLOY_HOME", str(tmp_path_factory.mktemp("world")))
        settings.reset()
        store = Store(Path(os.environ["AUTODEPLOY_HOME"]))
        world = World(store, connect(store))
        yield world
        world.end()
    settings.reset()
