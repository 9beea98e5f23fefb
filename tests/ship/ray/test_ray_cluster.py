"""On a real cluster of two nodes, under load from clients that never ask again. `make ray` runs it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from rays import PYTHON, TOKEN, Asking, Nodes, two_nodes, until

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.ship.ray.dashboard import Dashboard
from autodeploy_magic.ship.ray.rollout import remove
from autodeploy_magic.supervisor.remote_rows import fetch_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="no Python with Ray: `make ray` makes one, and names it"),
    pytest.mark.timeout(900),
]

SETTLED_S = 3.0


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with two_nodes(tmp_path_factory.mktemp("ray"), head_cpus=3, second_cpus=3) as nodes:
        yield nodes
        folder = Path(nodes.cluster.folder)
    assert not folder.exists()


@pytest.fixture(scope="module")
def url(nodes: Nodes) -> str:
    return nodes.deploy(1)


def test_only_the_token_is_let_in_and_the_cluster_does_not_know_it(nodes: Nodes, url: str) -> None:
    body = {"inputs": [[5.1, 3.5, 1.4, 0.2]]}
    good = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.post(f"{url}/predict", json=body, headers=good, timeout=30).json()["predictions"] == ["setosa"]
    assert httpx.post(f"{url}/predict", json=body, timeout=30).status_code == 401
    assert TOKEN not in str(nodes.dashboard.state())
    with pytest.raises(ShipFailed, match="asks for its token"):
        Dashboard(nodes.cluster.address).state()


def test_a_rolling_update_fails_no_request(nodes: Nodes, url: str) -> None:
    with Asking(url) as asking:
        until(lambda: asking.versions[1] > 50, "answers of v1")
        nodes.deploy(2)
        until(lambda: asking.versions[2] > 50, "answers of v2")
    assert asking.failed == []
    assert asking.versions[1] > 50


def test_a_killed_replica_costs_one_request_at_most(nodes: Nodes, url: str) -> None:
    with Asking(url) as asking:
        until(lambda: sum(asking.versions.values()) > 50, "answers")
        killed = nodes.standing().running[0]
        os.kill(killed.pid, signal.SIGKILL)
        until(
            lambda: (
                killed.id not in {one.id for one in nodes.standing().replicas} and len(nodes.standing().running) == 2
            ),
            "two replicas again",
        )
    assert len(asking.failed) <= 1, asking.failed


def test_what_all_replicas_recorded_is_fetched_from_any(nodes: Nodes, url: str) -> None:
    def recorded(cursor: str = "") -> int:
        rows = fetch_rows(url, TOKEN, cursor)["rows"]
        return sum(row[4] for row in rows if row[0] == "rollups")

    changed = [0, time.monotonic()]

    def settled() -> bool:
        """Nothing has come for some seconds: what was asked before is all there."""
        now = recorded()
        if now != changed[0]:
            changed[:] = [now, time.monotonic()]
        return time.monotonic() - changed[1] > SETTLED_S

    until(settled, "what was asked before is on record")
    before = recorded()
    with Asking(url, clients=2) as asking:
        until(lambda: sum(asking.versions.values()) > 100, "answers")
    count = sum(asking.versions.values())
    until(lambda: recorded() - before >= count, f"{count} requests on record")
    assert recorded() - before == count
    workers = {row[2] for row in fetch_rows(url, TOKEN, "")["rows"] if row[0] == "rollups"}
    assert len(workers) >= 2


def test_a_node_that_dies_is_made_up_for(nodes: Nodes, url: str) -> None:
    gone = [one for one in nodes.standing().running if one.node != nodes.head_node()]
    with Asking(url) as asking:
        until(lambda: sum(asking.versions.values()) > 50, "answers")
        nodes.kill_second()
        until(lambda: not any(psutil.pid_exists(one.pid) for one in gone), "its replicas have ended")
        until(
            lambda: (
                {one.node for one in nodes.standing().running} == {nodes.head_node()}
                and len(nodes.standing().running) == 2
            ),
            "two replicas on the node that is left",
        )
        answered, failed = sum(asking.versions.values()), len(asking.failed)
        until(lambda: sum(asking.versions.values()) > answered + 50, "answers afterwards")
    assert len(asking.failed) == failed, "it fails still"


def test_what_is_deleted_leaves_nothing(nodes: Nodes, url: str) -> None:
    pids = [one.pid for one in nodes.standing().running]
    assert remove(nodes.dashboard, "iris", owner="tests")
    assert nodes.dashboard.state()["applications"] == {}
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the replicas have ended")
    until(lambda: not nodes.actors(), "the actors have ended")
