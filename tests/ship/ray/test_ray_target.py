"""`ship ray` as a job does it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboards import Recorded, recorded
from sklearn.linear_model import LogisticRegression
from versions import X, Y, write_version

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption, MissingPackage, ShipFailed
from autodeploy_magic.ship.ray import ray_local
from autodeploy_magic.ship.write import ship
from autodeploy_magic.shipping import Shipment, Shipped
from autodeploy_magic.store import Store


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    with Recorded(token="the-cluster's") as server:
        monkeypatch.setenv("RAY_AUTH_TOKEN", server.token)
        server.state = recorded("theirs")
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with iris, version 1."""
    store = Store(tmp_path / "home")
    with store.building("iris"), store.staging("iris") as staging:
        version = write_version(staging, LogisticRegression(max_iter=500).fit(X, Y), X)
        store.commit(version, staging)
    store.save_desired(Desired(name="iris", version=1, executable=sys.executable, slo="p99<50ms"))
    return store


def shipped(store: Store, folder: str = "", **options: str) -> Shipped:
    return ship(store, "iris", Shipment(target="ray", folder=folder, options=options), lambda _: None)


def test_it_serves_at_once_and_tells_what_was_declared(cluster: Recorded, store: Store, tmp_path: Path) -> None:
    found = shipped(store, str(tmp_path / "to"), address=cluster.address, replicas="3", max_replicas="6")
    assert found.url.endswith("/iris")
    declared = json.loads((tmp_path / "to" / "application.json").read_text())
    assert declared == cluster.put[0]["applications"][1]
    assert declared["deployments"][0]["autoscaling_config"]["max_replicas"] == 6
    assert store.token("iris") not in json.dumps(declared)
    assert any(note.startswith("iris v1 is running") for note in found.notes)
    assert any("do=stop" in line for line in found.next)


def test_it_tells_how_it_stands_and_takes_it_away(cluster: Recorded, store: Store) -> None:
    assert shipped(store, address=cluster.address, do="status").notes == ("there is no iris in the cluster",)
    shipped(store, address=cluster.address)
    assert "v1 is running" in shipped(store, address=cluster.address, do="status").notes[0]
    assert shipped(store, address=cluster.address, do="stop").notes == ("iris is deleted",)
    assert list(cluster.state["applications"]) == ["theirs"]
    assert shipped(store, address=cluster.address, do="stop").notes == ("there is no iris",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "ray://host:10001"}, "is not the address"),
        ({"replicas": "0"}, "replicas is 0"),
        ({"replicas": "4", "max_replicas": "3"}, "max_replicas is 3"),
        ({"cpus": "0"}, "cpus is 0"),
        ({"packages": "conda"}, "packages of ray cannot be 'conda'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_sent(
    cluster: Recorded, store: Store, options: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidOption, match=words):
        shipped(store, **{"address": cluster.address, **options})
    assert cluster.put == []
    assert cluster.uploads == 0


def test_what_the_cluster_serves_already_is_not_shipped_beside(cluster: Recorded, store: Store) -> None:
    store.save_desired(Desired(name="iris", version=1, executable="", target="ray", address=cluster.address))
    with pytest.raises(InvalidOption, match="is served by a Ray cluster already"):
        shipped(store, address=cluster.address)


def test_no_cluster_and_no_ray(store: Store) -> None:
    with pytest.raises(ShipFailed, match="no Ray cluster was started on this machine"):
        shipped(store, do="status")
    assert shipped(store, do="end-local").notes == ("no cluster was started here",)
    if _has_ray():
        pytest.skip("this Python has Ray")
    with pytest.raises(MissingPackage, match="needs the package ray") as raised:
        ray_local.start(store, sys.executable)
    assert "autodeploy_magic[ray]" in raised.value.fix
    assert not list(store.home.glob("ray*"))


def _has_ray() -> bool:
    import importlib.util

    return importlib.util.find_spec("ray") is not None
