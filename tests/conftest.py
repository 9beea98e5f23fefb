"""What every test stands on: folders of its own, and a last look for processes that outlived their test."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from autodeploy_magic import settings
from autodeploy_magic.store import Store

MARK = "AUTODEPLOY_TEST_RUN"

# An example that takes long on a busy machine is no fault of what is tested.
hypothesis.settings.register_profile("unhurried", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def nothing_of_the_person_is_touched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point at folders that are not the person's; fail where a process of this run is still there at its end.

    Jupyter's and IPython's are among them: a kernel "python3" that the person installed is not the one under test.
    """
    run = uuid.uuid4().hex
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AUTODEPLOY_")]:
        del os.environ[name]
    for name in ("AUTODEPLOY_HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))
    sockets = tempfile.mkdtemp(dir="/tmp")  # a unix socket's path is short, and pytest's folders are not
    os.environ["XDG_RUNTIME_DIR"] = sockets
    os.environ[MARK] = run
    yield
    left = _processes_of(run)
    _, alive = psutil.wait_procs(left, timeout=10)  # what was told to end may still be on its way out
    told = [f"{process.pid} {' '.join(process.cmdline())}" for process in alive if process.is_running()]
    for process in alive:
        process.kill()
    shutil.rmtree(sockets)
    os.environ.clear()
    os.environ.update(before)
    assert not told, "processes outlived their tests:\n" + "\n".join(told)


def _processes_of(run: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == run:
                found.append(process)
        except psutil.Error:
            continue  # another user's, or gone meanwhile
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh state folder, which AUTODEPLOY_HOME names."""
    folder = tmp_path / "home"
    monkeypatch.setenv("AUTODEPLOY_HOME", str(folder))
    settings.reset()
    return folder


@pytest.fixture
def store(home: Path) -> Store:
    """The store in a fresh state folder."""
    return Store(home)
