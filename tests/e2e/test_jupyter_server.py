"""Jupyter Server is killed, and its kernel with it: the deployment serves on, and the next server finds it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyters import WAIT_S, Jupyter
from load import Load
from world import processes_of, until

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TRAIN = """
%load_ext autodeploy_magic
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
"""
DEPLOY = "%%deploy iris --sample X\nmodel = LogisticRegression(C={}, max_iter=500).fit(X, y)"


@pytest.fixture
def jupyter(tmp_path: Path, home: Path) -> Iterator[Callable[[], Jupyter]]:
    started: list[Jupyter] = []

    def start() -> Jupyter:
        started.append(Jupyter(tmp_path))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()
    connect(Store(home)).shutdown(stop_deployments=True)
    until(lambda: processes_of(home) == [], WAIT_S)


def test_the_server_and_its_kernel_are_killed_under_load(jupyter: Callable[[], Jupyter], home: Path) -> None:
    first = jupyter()
    run = first.kernel()
    run(TRAIN)
    shown = run(DEPLOY.format(1.0))
    (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", shown))
    store = Store(home)
    workers = [worker.pid for worker in connect(store).status("iris").workers]
    with Load(url, {"Authorization": f"Bearer {store.token('iris')}"}) as load:
        until(lambda: load.versions[1] > 200, WAIT_S)
        first.kill()
        killed_at = load.versions[1]
        until(lambda: load.versions[1] > killed_at + 200, WAIT_S)
        assert [worker.pid for worker in connect(store).status("iris").workers] == workers
        run = jupyter().kernel()
        run("%load_ext autodeploy_magic")
        assert url in run("%deploy list")
        assert "v1" in run("%deploy status iris")
        run(TRAIN)
        assert url in run(DEPLOY.format(0.01))
        until(lambda: load.answered_by(2), WAIT_S)
    assert load.failed == []
    assert set(load.versions) == {1, 2}
    assert [worker.pid for worker in connect(store).status("iris").workers] == workers  # swapped in place
    assert store.desired("iris").version == 2
