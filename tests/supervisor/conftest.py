"""A supervisor for each test, of which nothing may be left afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from world import World

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect


@pytest.fixture
def world(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A supervisor on a fresh state folder. Replaced workers wait for idle connections for a second only."""
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "1.0")
    world = World(store, connect(store))
    yield world
    world.end()
