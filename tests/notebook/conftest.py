"""A shell with the extension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.testing.globalipapp import start_ipython
from world import World

from autodeploy_magic import settings
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect


@pytest.fixture(scope="session")
def ipython_shell(tmp_path_factory: pytest.TempPathFactory) -> InteractiveShell:
    """The one shell of this process, as IPython's own tests make it."""
    shell = start_ipython() or InteractiveShell.instance()
    shell.run_line_magic("load_ext", "autodeploy_magic")
    return shell


@pytest.fixture
def shell(ipython_shell: InteractiveShell, home: Path) -> Iterator[InteractiveShell]:
    """The shell with a clean namespace and a state folder of its own."""
    before = dict(ipython_shell.user_ns)
    yield ipython_shell
    ipython_shell.user_ns.clear()
    ipython_shell.user_ns.update(before)
    settings.reset()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One supervisor for the tests of a file, on a state folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("world") / "home"
        patch.setenv("AUTODEPLOY_HOME", str(home))
        patch.setenv("AUTODEPLOY_DRAIN_S", "1.0")  # replaced workers wait for idle connections for a second only
        store = Store(home)
        world = World(store, connect(store))
        yield world
        world.end()
