"""A Ray cluster of two nodes on this machine: what requests see of an update, a killed replica and a killed node.

Clients ask without a pause and never ask again what failed. The rate is beside that of one plain worker of this
machine, asked by the same clients.

Run: tools/ray.sh bench     (it makes a Python with Ray; minutes, since Ray takes long to start things on two cores)
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from serving.report import Target, at_most, missing, run, show

COMMAND = "tools/ray.sh bench"
RATE_S = 8.0

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
rays: Any = importlib.import_module("rays")  # of the tests


def main() -> int:
    """Measure, and print each figure beside its target."""
    if not rays.PYTHON:
        return show([missing("Ray cluster", "0 failed", "RAY_TEST_PYTHON names no Python with Ray")], COMMAND)
    with tempfile.TemporaryDirectory(prefix="bench-ray-") as folder:
        plain = plain_rate(Path(folder) / "plain")
        with rays.two_nodes(Path(folder), head_cpus=3, second_cpus=3) as nodes:
            targets = measured(nodes, plain)
    return show(targets, COMMAND)


def measured(nodes: Any, plain: float) -> list[Target]:
    """Each fault in its turn."""
    url = nodes.deploy(1)
    found = rate(url)
    print(
        f"  {found:.0f} requests/s through Ray's proxy, {found / plain:.1%} of a plain worker's {plain:.0f}", flush=True
    )
    with rays.Asking(url) as update:
        rays.until(lambda: update.versions[1] > 50, "answers of v1")
        began = time.monotonic()
        nodes.deploy(2)
        took = time.monotonic() - began
        rays.until(lambda: update.versions[2] > 50, "answers of v2")
    tell("rolling update", update, f"it took {took:.0f} s")
    with rays.Asking(url) as kill:
        rays.until(lambda: sum(kill.versions.values()) > 50, "answers")
        killed, began = nodes.standing().running[0], time.monotonic()
        os.kill(killed.pid, signal.SIGKILL)
        rays.until(
            lambda: (
                killed.id not in {one.id for one in nodes.standing().replicas} and len(nodes.standing().running) == 2
            ),
            "two replicas again",
        )
        took = time.monotonic() - began
    tell("replica kill -9", kill, f"two again after {took:.0f} s")
    with rays.Asking(url) as lost:
        rays.until(lambda: sum(lost.versions.values()) > 50, "answers")
        head, began = nodes.head_node(), time.monotonic()
        nodes.kill_second()
        rays.until(lambda: [one.node for one in nodes.standing().running] == [head, head], "two replicas on the head")
        took = time.monotonic() - began
    tell("node killed", lost, f"two replicas again after {took:.0f} s")
    return [
        at_most("requests failed in a rolling update, 2 replicas on 2 nodes", len(update.failed), 0, "{:.0f}"),
        at_most("requests failed by a kill -9 of a replica", len(kill.failed), 1, "{:.0f}"),
    ]


def tell(what: str, asking: Any, more: str) -> None:
    """Print what came of a fault."""
    count = sum(asking.versions.values())
    print(f"  {what}: {len(asking.failed)} of {count + len(asking.failed)} requests failed; {more}", flush=True)
    for line in asking.failed[:3]:
        print(f"    {line[:200]}")


def rate(url: str) -> float:
    """Answers a second, after a start."""
    with rays.Asking(url) as asking:
        rays.until(lambda: sum(asking.versions.values()) > 50, "answers")
        before, began = sum(asking.versions.values()), time.monotonic()
        threading.Event().wait(RATE_S)
        return float((sum(asking.versions.values()) - before) / (time.monotonic() - began))


def plain_rate(home: Path) -> float:
    """The same clients asking one worker of this machine."""
    os.environ["AUTODEPLOY_HOME"] = str(home)
    from autodeploy_magic.contracts import Desired
    from autodeploy_magic.store import Store, write_atomic
    from autodeploy_magic.supervisor.client import connect

    store = Store(home)
    with store.building("iris"), store.staging("iris") as staging:
        version, folder = rays.iris(staging, 1)
        store.commit(version, folder)
    supervisor = connect(store)
    try:
        store.token("iris")
        write_atomic(store.token_file("iris"), rays.TOKEN.encode())
        return rate(supervisor.serve(Desired(name="iris", version=1, executable=sys.executable), lambda _: None).url)
    finally:
        supervisor.shutdown(stop_deployments=True)


if __name__ == "__main__":
    run(main)
