"""A Ray cluster of two nodes on this machine, for tests that skip where no Python with Ray is named."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import psutil
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic.contracts import Desired, Progress, Version
from autodeploy_magic.ship.ray import ray_local
from autodeploy_magic.ship.ray.application import Wish
from autodeploy_magic.ship.ray.dashboard import Dashboard
from autodeploy_magic.ship.ray.rollout import deploy
from autodeploy_magic.ship.ray.words import Standing, standing
from autodeploy_magic.store import Store

__all__ = ["PYTHON", "TOKEN", "Asking", "Nodes", "iris", "two_nodes", "until"]

log = logging.getLogger(__name__)

PYTHON = os.environ.get("RAY_TEST_PYTHON", "")
"""A Python that has ray[serve] and what a replica needs; `tools/ray.sh` makes one."""
TOKEN = "a-token-of-the-deployment"
WAIT_S = 90.0


def iris(folder: Path, number: int) -> tuple[Version, Path]:
    """A version of iris, and its folder."""
    model = folder / f"v{number}"
    return write_version(
        model, LogisticRegression(C=1 / number, max_iter=500).fit(X, NAMES[Y]), X, number=number
    ), model


def until(true: object, what: str, *, within_s: float = WAIT_S) -> None:
    """Wait until `true()`; fail with `what`."""
    assert callable(true)
    looking = threading.Event()
    for _ in range(int(within_s / 0.25)):
        if true():
            return
        looking.wait(0.25)
    raise AssertionError(f"not within {within_s:g} s: {what}")


@dataclass
class Nodes:
    """The cluster: its head was started as a person's is, the other node joined it."""

    cluster: ray_local.LocalCluster
    dashboard: Dashboard
    folder: Path
    second: subprocess.Popen[bytes] | None = None

    def deploy(self, number: int, *, name: str = "iris", least: int = 2, most: int = 2, slo: str = "off") -> str:
        """Have version `number` of iris run; returns the URL."""
        version, model = iris(self.folder, number)
        desired = Desired(name=name, version=number, executable="", slo=slo)
        return deploy(
            self.dashboard,
            version,
            model,
            desired,
            Wish(least=least, most=most, cpus=1.0, owner="tests"),
            (TOKEN,),
            self.told,
            fresh=self.cluster.more,
        )

    def told(self, progress: Progress) -> None:
        log.info("%s", progress.detail)

    def standing(self, name: str = "iris") -> Standing:
        return standing(self.dashboard.state(), name)

    def head_node(self) -> str:
        """Ray's name of the node that the cluster began with: Ray Serve's controller is there."""
        return str(self.dashboard.state()["controller_info"]["node_id"])

    def actors(self) -> list[str]:
        """The actors that live, but for Ray Serve's own."""
        found = self.dashboard._json("GET", "/api/v0/actors?limit=1000")["data"]["result"]["result"]
        return [one["name"] for one in found if one["state"] != "DEAD" and not one["name"].startswith("SERVE_")]

    def start_second(self, cpus: int) -> None:
        """Let another node join."""
        words = ["start", "--address", self.cluster.gcs, "--block", "--num-cpus", str(cpus), "--disable-usage-stats"]
        words += ["--node-ip-address", "127.0.0.1", "--min-worker-port", "0", "--max-worker-port", "0"]
        words += ["--object-store-memory", str(80 * 1024 * 1024), "--dashboard-agent-listen-port", "0"]
        file = Path(self.cluster.folder) / "second.log"
        for _ in range(ray_local.TRIES):
            with file.open("wb") as stream:
                self.second = subprocess.Popen(
                    [PYTHON, "-m", "ray.scripts.scripts", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.cluster.environment()},
                    start_new_session=True,
                )
            if _started(self.second, file):
                return
        raise AssertionError(file.read_text())

    def kill_second(self) -> None:
        """As if its machine lost its power."""
        assert self.second is not None
        for process in ray_local._session(self.second.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.second.wait()


def _started(node: subprocess.Popen[bytes], file: Path) -> bool:
    """Wait until a node has said that it runs; false where it ended instead."""
    until(lambda: node.poll() is not None or b"Ray runtime started" in file.read_bytes(), "the second node")
    return node.poll() is None


@contextlib.contextmanager
def two_nodes(folder: Path, *, head_cpus: int = 4, second_cpus: int = 3) -> Iterator[Nodes]:
    """Both nodes, ended afterwards."""
    store = Store(folder / "home")
    cluster = ray_local.start(store, PYTHON, lambda progress: log.info("%s", progress.detail), cpus=head_cpus)
    nodes = Nodes(cluster, Dashboard(cluster.address, cluster.token), folder)
    try:
        if second_cpus:
            nodes.start_second(second_cpus)
        yield nodes
    finally:
        if nodes.second is not None and nodes.second.poll() is None:
            nodes.kill_second()
        ray_local.stop(store)


class Asking:
    """Clients that ask without a pause, and never ask again what failed: half keep their connections."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.failed: list[str] = []
        self.versions: Counter[int] = Counter()
        self._stop = threading.Event()
        self._url = url
        self._threads = [threading.Thread(target=self._run, args=(i % 2 == 0,)) for i in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _run(self, keep: bool) -> None:
        headers = {"authorization": f"Bearer {TOKEN}"}
        client = httpx.Client(timeout=WAIT_S, headers=headers)
        while not self._stop.is_set():
            try:
                answer = client.post(f"{self._url}/predict", json={"inputs": X[:1].tolist()})
                if answer.status_code == 200:
                    self.versions[answer.json()["version"]] += 1
                else:
                    self.failed.append(f"{answer.status_code} {answer.text[:300]}")
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
            if not keep:
                client.close()
                client = httpx.Client(timeout=WAIT_S, headers=headers)
        client.close()
