"""A shell with the extension."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.testing.globalipapp import start_ipython

from autodeploy_magic import settings


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
