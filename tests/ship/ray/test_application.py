"""What is declared of a deployment: scale, settings, packages; and what Ray says of it, in words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from dashboards import recorded
from msgspec.structs import replace
from rays import iris
from sklearn.linear_model import LogisticRegression
from versions import X, Y, write_version

from autodeploy_magic.contracts import Desired, Environment, Traffic
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.ship.ray.application import Wish, application, refuse
from autodeploy_magic.ship.ray.distributions import distributions, pins
from autodeploy_magic.ship.ray.package import package, uri_of
from autodeploy_magic.ship.ray.scaling import RAY_S, scale
from autodeploy_magic.ship.ray.words import standing

IRIS = Desired(name="iris", version=1, executable="")


def test_the_target_is_half_of_what_fits_into_the_promised_latency(tmp_path: Path) -> None:
    version, _ = iris(tmp_path, 1)
    found = scale(version, "p99<50ms", 2, 8)
    assert found.target == pytest.approx(0.5 * 0.050 / (RAY_S + 1e-5), abs=0.1)
    assert found.config()["autoscaling_config"] == {
        "min_replicas": 2,
        "initial_replicas": 2,
        "max_replicas": 8,
        "target_ongoing_requests": found.target,
        "upscale_delay_s": 10.0,
        "downscale_delay_s": 120.0,
    }
    assert scale(version, "p99<50ms, p50<10ms", 2, 8).target < found.target  # the tightest counts
    assert scale(version, "p99<1ms", 2, 8).target == 1.0
    assert scale(version, "errors<1%", 2, 8).target == 2.0
    fixed = scale(version, "p99<50ms", 3, 3).config()
    assert fixed["num_replicas"] == 3
    assert "autoscaling_config" not in fixed
    for least, most in ((0, 2), (3, 2), (1001, 1002)):
        with pytest.raises(InvalidOption):
            scale(version, "", least, most)


def test_one_replica_needs_a_ray_that_starts_the_new_one_first(tmp_path: Path) -> None:
    version, _ = iris(tmp_path, 1)
    one = Wish(least=1, most=1)
    found = application(version, IRIS, one, uri="gcs://p.zip", tokens=("t",), release="2.60.0")
    assert found["deployments"][0]["max_surge_percent"] == 100
    with pytest.raises(InvalidOption, match="an update of it would interrupt it"):
        application(version, IRIS, one, uri="gcs://p.zip", tokens=("t",), release="2.40.1")
    assert application(version, IRIS, Wish(), uri="gcs://p.zip", tokens=("t",), release="2.40.1")


def test_what_a_cluster_cannot_serve_is_refused() -> None:
    refuse(IRIS)
    for changes, words in (
        ({"auth": False}, "asks for no token"),
        ({"tls": "auto"}, "--tls"),
        ({"grpc": True}, "--grpc"),
        ({"traffic": Traffic(canary=2, share=0.1)}, "beside its champion"),
    ):
        with pytest.raises(InvalidOption, match=words):
            refuse(replace(IRIS, **changes))


def test_settings_travel_and_those_of_this_machine_stay(tmp_path: Path) -> None:
    version, _ = iris(tmp_path, 1)
    desired = replace(IRIS, settings={"max_rows": 77, "threads": 3, "record": "all", "request_timeout_s": 12.0})
    found = application(version, desired, Wish(), uri="gcs://p.zip", tokens=("t",), release="2.60.0")
    assert found["args"]["settings"] == {"max_rows": 77, "threads": 3, "request_timeout_s": 12.0}
    assert "records" not in found["args"]  # nobody would fetch it
    assert found["args"]["threads"] == 3
    assert found["deployments"][0]["graceful_shutdown_timeout_s"] == 17.0


def test_what_is_recorded_is_told_to_replicas_that_a_keeper_fetches_it_from(tmp_path: Path) -> None:
    version, _ = iris(tmp_path, 1)
    chosen = {"record": "inputs", "record_share": 0.5, "record_drop": "a", "record_hash": "b", "record_requests": 7}
    desired = replace(IRIS, settings={**chosen, "record_days": 3.0, "record_bytes": 1000})
    kept = Wish(keeper="digest")
    found = application(version, desired, kept, uri="gcs://p.zip", tokens=("t",), release="2.60.0")
    assert (found["args"]["records"], found["args"]["settings"]) == (True, chosen)
    assert found["deployments"][0]["user_config"]["keeper"] == "digest"
    again = replace(desired, settings={**desired.settings, "record_days": 4.0})
    assert application(version, again, kept, uri="gcs://p.zip", tokens=("t",), release="2.60.0") == found


def test_pickled_code_needs_the_same_python_and_packages(tmp_path: Path) -> None:
    version, _ = iris(tmp_path, 1)
    found = application(version, IRIS, Wish(), uri="gcs://p.zip", tokens=("t",), release="2.60.0")
    assert found["args"]["python"] == ""
    assert found["args"]["distributions"]["onnxruntime"] == ""
    model = LogisticRegression(max_iter=500).fit(X, Y)
    native = write_version(tmp_path / "native", model, X, format="native")
    needs = Environment(python="3.11.4", platform="linux", requirements=("scikit-learn==1.5.0", "bentoml==1.4.39"))
    native = replace(native, environment=needs)
    assert application(native, IRIS, Wish(), uri="gcs://p.zip", tokens=("t",), release="2.60.0")["args"]["python"] == (
        "3.11"
    )
    exact = distributions(native)
    assert exact["scikit-learn"] == "1.5.0"
    assert "bentoml" not in exact
    assert "scikit-learn==1.5.0" in pins(native)
    assert all("==" in line for line in pins(native))
    piped = application(native, IRIS, Wish(packages="pip"), uri="gcs://p.zip", tokens=("t",), release="2.60.0")
    assert piped["runtime_env"]["pip"]["packages"] == pins(native)
    assert piped["args"]["distributions"] == {}
    with pytest.raises(ShipFailed, match="cannot be installed together"):
        pins(replace(native, environment=replace(needs, conflicts=("a needs b<2", "c needs b>2"))))


def test_the_package_is_the_same_whenever_it_is_made_and_holds_what_serves(tmp_path: Path) -> None:
    version, model = iris(tmp_path, 1)
    data = package(version, model)
    assert data == package(version, model)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        assert archive.read("model/model.onnx") == (model / "model.onnx").read_bytes()
    assert {"model/version.json", "model/sample.json", "model/expected.json"} <= names
    assert {"autodeploy_magic/serve/ray_app.py", "autodeploy_magic/serve/replica.py"} <= names
    assert not [name for name in names if name.startswith(("autodeploy_magic/build", "autodeploy_magic/notebook"))]
    other, folder = iris(tmp_path, 2)
    assert uri_of(package(other, folder)) != uri_of(data)
    (model / "model.onnx").unlink()
    with pytest.raises(ShipFailed, match="cannot be packed"):
        package(version, model)


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("both", "running", ""),
        ("failed", "failed", "no-such-thing is not installed"),
        ("damaged", "starting", "model.onnx is not the file that was built"),
    ],
)
def test_what_ray_says_is_said_in_words(name: str, state: str, words: str) -> None:
    found = standing(recorded(name), "iris")
    assert found.state == state
    assert words in found.reason
    assert "\x1b" not in found.reason
    assert "Traceback" not in found.reason


def test_replicas_and_states_that_ray_may_have() -> None:
    state = recorded("both")
    found = standing(state, "iris")
    assert found.version == 1
    assert [one.state for one in found.replicas] == ["RUNNING"]
    assert found.running[0].pid > 0
    assert standing(state, "none").state == "missing"
    for status, word in (("DELETING", "deleting"), ("UNHEALTHY", "degraded"), ("NEWER", "degraded")):
        state["applications"]["iris"]["status"] = status
        assert standing(state, "iris").state == word


def test_a_replica_without_room_says_so() -> None:
    state = recorded("both")
    one = state["applications"]["iris"]
    one["status"] = "DEPLOYING"
    one["deployments"]["model"]["message"] = (
        "Deployment 'model' in application 'iris' has 1 replicas that have taken more than 30s to be scheduled. This"
        " may be due to waiting for the cluster to auto-scale or for a runtime environment to be installed. Resources"
        ' required for each replica: {"CPU": 64.0}, total resources available: {"CPU": 2.0}. Use `ray status` for more'
        " details."
    )
    found = standing(state, "iris")
    assert found.state == "starting"
    assert found.reason.startswith("the cluster has no room for a replica: ")
    assert '{"CPU": 64.0}' in found.reason
