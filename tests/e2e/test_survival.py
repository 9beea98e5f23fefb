"""A deployment outlives its notebook: the kernel, the supervisor and a worker can each be killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TRAIN = """
%load_ext autodeploy_magic
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
X, y = load_breast_cancer(return_X_y=True)
"""
MODEL = "LogisticRegression(max_iter=5000).fit(X, y)"
DEPLOY = (
    "%%deploy cancer --sample X --out dep\nmodel = make_pipeline(StandardScaler(), LogisticRegression(C={})).fit(X, y)"
)


class CellFailed(Exception):
    """A cell ended with an error; the text is what the person sees of it."""


class Notebook:
    """A real kernel that cells are run in."""

    def __init__(self, folder: Path) -> None:
        self.manager: KernelManager
        self.client: BlockingKernelClient
        self.manager, self.client = start_new_kernel(cwd=str(folder), startup_timeout=60)

    def run(self, cell: str) -> str:
        """Run a cell and return what it shows; raises `CellFailed`."""
        shown: list[str] = []

        def output(message: dict[str, object]) -> None:
            content = message["content"]
            assert isinstance(content, dict)
            shown.append(str(content.get("text") or content.get("data", {}).get("text/plain", "")))
            shown.extend(content.get("traceback", []))

        reply = self.client.execute_interactive(cell, timeout=120, output_hook=output, allow_stdin=False)["content"]
        if reply["status"] != "ok":
            raise CellFailed(re.sub(r"\x1b\[[0-9;]*m", "", "\n".join([*shown, *reply["traceback"]])))
        return "\n".join(shown)

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer would."""
        pid = self.manager.provisioner.pid
        self.client.stop_channels()
        os.kill(pid, signal.SIGKILL)
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def open_notebook(tmp_path: Path, home: Path) -> Iterator[Callable[[], Notebook]]:
    opened: list[Notebook] = []

    def start() -> Notebook:
        opened.append(Notebook(tmp_path))
        return opened[-1]

    yield start
    for notebook in opened:
        notebook.client.stop_channels()
        notebook.manager.shutdown_kernel(now=True)
    store = Store(home)
    connect(store).shutdown(stop_deployments=True)
    assert not [p for p in psutil.process_iter() if _belongs(p, home)]


def _belongs(process: psutil.Process, home: Path) -> bool:
    try:
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.environ().get("AUTODEPLOY_HOME") == str(home)
            and process.pid != os.getpid()
            and _gone_soon(process)
        )
    except psutil.Error:
        return False


def _gone_soon(process: psutil.Process) -> bool:
    """Whether the process is still there after it had time to end."""
    try:
        process.wait(timeout=15)
    except psutil.TimeoutExpired:
        return True
    return False


def ask(store: Store) -> httpx.Response:
    desired = store.desired("cancer")
    headers = {"Authorization": f"Bearer {store.token('cancer')}"}
    return httpx.post(
        f"http://127.0.0.1:{desired.port}/predict", json={"inputs": [[1.0] * 30]}, headers=headers, timeout=20
    )


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition; returns how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        time.sleep(0.02)  # polling what another process does, which has no event for us
    return time.monotonic() - start


def test_the_kernel_is_killed_and_another_takes_over(open_notebook: Callable[[], Notebook], home: Path) -> None:
    first = open_notebook()
    first.run(TRAIN)
    shown = first.run(DEPLOY.format(1))
    url = re.findall(r"http://127\.0\.0\.1:\d+", shown)[0]
    workers = [worker.pid for worker in connect(Store(home)).status("cancer").workers]
    first.kill()
    store = Store(home)
    assert ask(store).json()["version"] == 1
    second = open_notebook()
    second.run("%load_ext autodeploy_magic\nimport autodeploy_magic as ad")
    assert url in second.run("%deploy status cancer")
    assert second.run("dep = ad.attach('cancer'); print(dep.version, dep.url)").split() == ["1", url]
    assert [worker.pid for worker in connect(store).status("cancer").workers] == workers
    second.run(TRAIN)
    shown = second.run(DEPLOY.format(0.001))
    assert url in shown
    assert re.search(r"\d+ of \d+", shown)
    assert ask(store).json()["version"] == 2
    assert second.run("print((dep.predict(X) == model.predict(X)).all())").strip() == "True"


def test_the_supervisor_is_killed_and_the_next_one_adopts(open_notebook: Callable[[], Notebook], home: Path) -> None:
    notebook = open_notebook()
    notebook.run(TRAIN)
    notebook.run(DEPLOY.format(1))
    store = Store(home)
    supervisor = connect(store)
    pid = supervisor.ping()["pid"]
    workers = [worker.pid for worker in supervisor.status("cancer").workers]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 10)
    assert ask(store).status_code == 200
    adopted = connect(store)
    assert adopted.ping()["pid"] != pid
    assert [worker.pid for worker in adopted.status("cancer").workers] == workers
    assert ask(store).json()["version"] == 1
    notebook.run(DEPLOY.format(0.001))
    assert ask(store).json()["version"] == 2


def test_a_worker_is_killed_and_replaced(open_notebook: Callable[[], Notebook], home: Path) -> None:
    notebook = open_notebook()
    notebook.run(TRAIN)
    notebook.run(DEPLOY.format(1))
    store = Store(home)
    (worker,) = connect(store).status("cancer").workers
    os.kill(worker.pid, signal.SIGKILL)

    def replaced() -> bool:
        found = connect(store).status("cancer").workers
        return bool(found) and found[0].pid != worker.pid and found[0].ready

    until(replaced, 20)
    assert ask(store).status_code == 200


def test_cells_that_fail_leave_the_old_version_serving(open_notebook: Callable[[], Notebook], home: Path) -> None:
    notebook = open_notebook()
    notebook.run(TRAIN)
    notebook.run(DEPLOY.format(1))
    for cell, words in [
        ("%%deploy cancer --sample X\nraise ValueError('mine')", "ValueError"),
        ("%%deploy cancer --sample X\nmodel = LogisticRegression()", "not been fitted"),
        ("%%deploy cancer\nmodel = LogisticRegression(max_iter=5000).fit(X, y)", "sample"),
        (
            f"%%deploy cancer --sample X\na = {MODEL}; b = {MODEL}",
            "a (LogisticRegression), b",
        ),
        (
            "%%deploy cancer --sample X[:, :3]\nmodel = LogisticRegression(max_iter=5000).fit(X, y)",
            "name of a variable",
        ),
        ("%%deploy cancer --sample Z\nmodel = LogisticRegression(max_iter=5000).fit(X, y)", "Z"),
        ("%%deploy cancer --smaple X\nmodel = LogisticRegression(max_iter=5000).fit(X, y)", "--sample"),
        ("small = X[:, :3]\n", ""),
        ("%%deploy cancer --sample small\nmodel = LogisticRegression(max_iter=5000).fit(X, y)", "30"),
        ("%%deploy Cancer!\nmodel = LogisticRegression(max_iter=5000).fit(X, y)", "'cancer'"),
    ]:
        if not words:
            notebook.run(cell)
            continue
        with pytest.raises(CellFailed) as caught:
            notebook.run(cell)
        assert words in str(caught.value), (cell, str(caught.value))
        assert ask(Store(home)).json()["version"] == 1
