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
from versions import X
from world import World

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.live import COLUMNS
from autodeploy_magic.reservoir import recent, recent_labelled
from autodeploy_magic.serve.redact import record_key
from autodeploy_magic.ship.ray.dashboard import Dashboard
from autodeploy_magic.ship.ray.rollout import remove
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect
from autodeploy_magic.supervisor.workers.remote_requests import RemoteRequests
from autodeploy_magic.supervisor.workers.remote_rows import fetch_rows

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


@pytest.fixture
def world(nodes: Nodes, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AUTODEPLOY_HOME", str(store.home))
    monkeypatch.setenv("RAY_AUTH_TOKEN", nodes.cluster.token)
    world = World(store, connect(store))
    yield world
    world.end()


def test_the_panel_has_what_replicas_take_and_the_record_what_they_were_asked(nodes: Nodes, world: World) -> None:
    """With a supervisor, as `%%deploy --target ray` does it."""
    status = world.serve(world.version("flowers"), "flowers", target="ray", address=nodes.cluster.address, workers=2)
    file = world.store.requests_file("flowers")
    until(lambda: any(_shown(world, time.time() - 60, time.time(), "cpu_cores")), "it is shown what they take")
    pids = {one.pid for one in nodes.standing("flowers").running}
    processes = [psutil.Process(pid) for pid in pids]
    asked: dict[str, tuple[list[float], str]] = {}
    with httpx.Client(headers=world.headers("flowers"), timeout=30) as client:
        began, used = time.time(), [_cpu_s(one) for one in processes]
        while len(asked) < 60 or time.time() - began < 8:
            row = X[len(asked) % len(X)].tolist()
            answer = client.post(f"{status.url}/predict", json={"inputs": [row]}).json()
            asked[answer["id"]] = (row, answer["predictions"][0])
            time.sleep(0.05)  # no more in a second than is kept of it
        ended, taken = time.time(), sum(map(_cpu_s, processes)) - sum(used)
        until(lambda: len(recent(file, 1000)) >= len(asked), "all is on record")
        found = {one.id: (one.inputs[0], one.outputs["predictions"][0]) for one in recent(file, 1000)}
        assert found == {key: (pytest.approx(row), label) for key, (row, label) in asked.items()}
        labels = {key: label for key, (_, label) in list(asked.items())[:7]}
        for key, label in labels.items():
            assert client.post(f"{status.url}/feedback", json={"id": key, "labels": [label]}).json()["new"] == 1
        signature = world.store.version("flowers", 1).signature
        until(lambda: len(recent_labelled(file, signature, 100)) == len(labels), "all labels are on record")
        assert {one.request: one.label for one in recent_labelled(file, signature, 100)} == labels
        assert client.get(f"{status.url}/-/recorded").status_code == 401  # a client reads nothing of others
    until(lambda: _shown(world, began, ended, "cpu_cores")[-1] is not None, "what they took is shown")
    shown = [cores for cores in _shown(world, began, ended, "cpu_cores") if cores is not None]
    assert len(shown) >= ended - began - 2
    assert sum(shown) == pytest.approx(taken, rel=0.3, abs=0.4)
    memory = _shown(world, began, ended, "memory_bytes")[-1]
    assert memory == pytest.approx(sum(one.memory_full_info().pss for one in processes), rel=0.25)
    secrets = (world.store.token("flowers"), record_key(file).hex(), RemoteRequests(file, {})._secret())
    state = str(nodes.dashboard.state())
    assert not [secret for secret in secrets if secret in state]
    world.supervisor.stop("flowers")
    assert nodes.standing("flowers").state == "missing"


def _cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def _shown(world: World, began: float, ended: float, column: str) -> list[float | None]:
    """The seconds of the panel that lie within, in order."""
    series = world.supervisor.series("flowers", 60, 60)
    values = series.values[COLUMNS.index(column)]
    times = [series.start_s + i * series.step_s for i in range(len(values))]
    return [value for at, value in zip(times, values, strict=True) if began <= at and at + series.step_s <= ended]


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
