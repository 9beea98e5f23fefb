"""Jupyter Server is killed, and its kernel with it: the deployment serves on, and the next server finds it."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from load import Load
from world import processes_of, until

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WAIT_S = 60.0

TRAIN = """
%load_ext autodeploy_magic
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
"""
DEPLOY = "%%deploy iris --sample X\nmodel = LogisticRegression(C={}, max_iter=500).fit(X, y)"


class Jupyter:
    """A real Jupyter Server in a process of its own, and the kernels that it started through its REST API."""

    def __init__(self, folder: Path) -> None:
        token = secrets.token_hex(16)
        self.runtime = folder / f"runtime-{token[:6]}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = {
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.root_dir": str(folder),
            "IdentityProvider.token": token,
        }
        self.log = (folder / "jupyter.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *(f"--{name}={value}" for name, value in options.items())],
            env=os.environ | {"JUPYTER_RUNTIME_DIR": str(self.runtime)},
            stdout=self.log,
            stderr=self.log,
        )
        headers = {"Authorization": f"token {token}"}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=WAIT_S)
        self.kernels: list[psutil.Process] = []
        self.clients: list[BlockingKernelClient] = []
        until(self._answers, WAIT_S)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (Path(self.log.name)).read_text()
        try:
            return self.http.get("/api/status").status_code == 200
        except httpx.ConnectError:
            return False

    def kernel(self) -> Callable[[str], str]:
        """Start a kernel; what is returned runs a cell in it and returns what it shows."""
        answer = self.http.post("/api/kernels", json={"name": "python3"})
        answer.raise_for_status()
        file = str(self.runtime / f"kernel-{answer.json()['id']}.json")
        children = psutil.Process(self.process.pid).children()
        (kernel,) = [child for child in children if any(file in word for word in child.cmdline())]
        self.kernels.append(kernel)
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=WAIT_S)
        self.clients.append(client)

        def run(cell: str) -> str:
            shown: list[str] = []

            def output(message: dict[str, Any]) -> None:
                content = message["content"]
                shown.append(str(content.get("text") or content.get("data", {}).get("text/plain", "")))
                shown.extend(content.get("traceback", []))

            reply = client.execute_interactive(cell, timeout=120, output_hook=output, allow_stdin=False)["content"]
            assert reply["status"] == "ok", "\n".join(shown)
            return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown))

        return run

    def kill(self) -> None:
        """SIGKILL the server and what it started, as the end of a session or of a container would."""
        for process in [psutil.Process(self.process.pid), *self.kernels]:
            process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        psutil.wait_procs(self.kernels, timeout=WAIT_S)
        self.close()

    def close(self) -> None:
        for client in self.clients:
            client.stop_channels()
        self.clients = []
        self.http.close()
        self.log.close()


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
