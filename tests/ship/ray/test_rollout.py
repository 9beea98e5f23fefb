"""Declaring beside others: against a small server that answers as a real cluster's dashboard did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboards import Recorded, recorded
from rays import iris

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.ray.application import APP, Wish, application, owner_of
from autodeploy_magic.ship.ray.dashboard import Dashboard, cluster_token
from autodeploy_magic.ship.ray.rollout import declared, deploy, remove, roll_out, url_of
from autodeploy_magic.wire.digests import token_digest

WISH = Wish(least=2, most=2, owner="tests")
TOKEN = "the-deployment's-own"


@pytest.fixture
def cluster() -> Iterator[Recorded]:
    with Recorded(token="the-cluster's") as server:
        yield server


def ask(cluster: Recorded) -> Dashboard:
    return Dashboard(cluster.address, cluster.token, timeout_s=5.0)


def wish(folder: Path, number: int = 1, **changes: Any) -> dict[str, Any]:
    version, _ = iris(folder, number)
    desired = Desired(name="iris", version=number, executable="", **changes)
    return application(version, desired, WISH, uri="gcs://_ray_pkg_1.zip", tokens=(TOKEN,), release="2.60.0")


def test_a_version_is_sent_once_and_declared_with_what_others_declared(cluster: Recorded, tmp_path: Path) -> None:
    cluster.state = recorded("theirs")
    theirs = cluster.state["applications"]["theirs"]["deployed_app_config"]
    version, model = iris(tmp_path, 1)
    desired = Desired(name="iris", version=1, executable="")
    url = deploy(ask(cluster), version, model, desired, WISH, (TOKEN,), lambda _: None)
    assert [one["name"] for one in cluster.put[0]["applications"]] == ["theirs", "iris"]
    assert cluster.put[0]["applications"][0] == theirs
    assert cluster.put[0]["http_options"]["port"] == cluster.state["http_options"]["port"]
    assert len(cluster.packages) == 1
    assert url == f"http://127.0.0.1:{cluster.state['http_options']['port']}/iris"
    deploy(ask(cluster), version, model, desired, WISH, (TOKEN,), lambda _: None)
    assert cluster.uploads == 1  # the same version is the same package
    assert cluster.put[0] == cluster.put[1]


def test_neither_token_is_in_what_is_declared(cluster: Recorded, tmp_path: Path) -> None:
    cluster.state = recorded("nothing")
    version, model = iris(tmp_path, 1)
    deploy(ask(cluster), version, model, Desired(name="iris", version=1, executable=""), WISH, (TOKEN,), print)
    assert TOKEN not in str(cluster.put)
    assert cluster.token not in str(cluster.put)
    assert not any(TOKEN.encode() in data for data in cluster.packages.values())
    [deployment] = cluster.put[0]["applications"][0]["deployments"]
    assert deployment["user_config"] == {"digests": [token_digest(TOKEN.encode())]}


def test_an_application_that_cannot_be_declared_again_is_not_put_at_risk(cluster: Recorded, tmp_path: Path) -> None:
    cluster.state = recorded("theirs")
    theirs = cluster.state["applications"]["theirs"]
    for config in (None, {"runtime_env": {"env_vars": {"SECRET_OF_THEIRS": "<redacted>"}}}):
        theirs["deployed_app_config"] = config
        with pytest.raises(ShipFailed, match="does not tell how it was declared"):
            roll_out(ask(cluster), wish(tmp_path))
    theirs["source"] = "imperative"  # Ray leaves those alone
    assert declared(cluster.state, but="iris") == []
    assert cluster.put == []


def test_names_and_paths_of_others_are_refused(cluster: Recorded, tmp_path: Path) -> None:
    cluster.state = recorded("theirs")
    wanted = wish(tmp_path)
    with pytest.raises(ShipFailed, match="the path /theirs of that cluster belongs to the application 'theirs'"):
        roll_out(ask(cluster), {**wanted, "route_prefix": "/theirs"})
    with pytest.raises(ShipFailed, match="that is not this package's"):
        roll_out(ask(cluster), {**wanted, "name": "theirs"})
    with pytest.raises(ShipFailed, match="that is not this package's"):
        remove(ask(cluster), "theirs")
    cluster.state = recorded("both")
    with pytest.raises(ShipFailed, match="deployed by somebody else"):
        roll_out(ask(cluster), {**wanted, "args": {**wanted["args"], "owner": "another"}})
    with pytest.raises(ShipFailed, match="deployed by somebody else"):
        remove(ask(cluster), "iris", owner="another")
    assert cluster.put == []


def test_what_does_not_come_up_gives_way_to_what_was_there(cluster: Recorded, tmp_path: Path) -> None:
    cluster.state = recorded("both")
    before = cluster.state["applications"]["iris"]["deployed_app_config"]
    cluster.outcome = ("DEPLOY_FAILED", recorded("failed")["applications"]["iris"]["message"])
    with pytest.raises(ShipFailed) as raised:
        roll_out(ask(cluster), wish(tmp_path, 2))
    assert "no-such-thing is not installed" in raised.value.why
    assert "v1 is declared again" in raised.value.why
    assert "Traceback" not in raised.value.why
    assert [one["name"] for one in cluster.put[-1]["applications"]] == ["theirs", "iris"]
    assert cluster.put[-1]["applications"][1] == before


def test_what_never_ran_is_taken_away_again(cluster: Recorded, tmp_path: Path) -> None:
    cluster.state = recorded("theirs")
    cluster.outcome = ("DEPLOYING", "")
    with pytest.raises(ShipFailed, match="did not run within 0.1 s"):
        roll_out(ask(cluster), wish(tmp_path), within_s=0.1)
    assert [one["name"] for one in cluster.put[-1]["applications"]] == ["theirs"]


def test_removing_leaves_others_and_ends_serve_with_the_last(cluster: Recorded) -> None:
    cluster.state = recorded("both")
    assert remove(ask(cluster), "iris", owner="tests")
    assert [one["name"] for one in cluster.put[-1]["applications"]] == ["theirs"]
    assert not cluster.cleared
    assert not remove(ask(cluster), "iris", owner="tests")
    del cluster.state["applications"]["theirs"]
    cluster.state["applications"]["iris"] = recorded("both")["applications"]["iris"]
    assert remove(ask(cluster), "iris", owner="tests")
    assert cluster.cleared


def test_a_cluster_that_cannot_be_used_is_told_apart(cluster: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShipFailed, match="asks for its token") as asked:
        Dashboard(cluster.address).version()
    assert "RAY_AUTH_TOKEN" in asked.value.fix
    with pytest.raises(ShipFailed, match="refuses the token"):
        Dashboard(cluster.address, "another").state()
    cluster.serve = False
    with pytest.raises(ShipFailed, match="has no Ray Serve"):
        ask(cluster).state()
    cluster.dashboard = False
    with pytest.raises(ShipFailed, match="is not a Ray dashboard"):
        ask(cluster).version()
    with pytest.raises(ShipFailed, match="no Ray cluster answers at http://127.0.0.1:1"):
        Dashboard("http://127.0.0.1:1", timeout_s=1.0).version()
    for address in ("ray://127.0.0.1:10001", "127.0.0.1:8265", "http://me:secret@host", "http://host:nine", ""):
        with pytest.raises(InvalidOption, match="is not the address of a Ray dashboard"):
            Dashboard(address)


def test_the_clusters_token_comes_from_where_ray_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cluster_token() == ""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("kept\n")
    assert cluster_token() == "kept"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    with pytest.raises(ShipFailed, match="there is no file"):
        cluster_token()
    (tmp_path / "named").write_text("named")
    assert cluster_token() == "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "typed")
    assert cluster_token() == "typed"


def test_owners_differ_and_say_nothing_of_where_they_are() -> None:
    one, other = owner_of(Path("/home/ann/state")), owner_of(Path("/home/bob/state"))
    assert one != other
    assert one == owner_of(Path("/home/ann/state"))
    assert len(one) == 16
    assert APP.startswith("autodeploy_magic.")
    assert url_of(Dashboard("http://[::1]:8265"), recorded("both"), "iris").startswith("http://[::1]:")
