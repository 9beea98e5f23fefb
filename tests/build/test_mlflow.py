"""MLflow both ways: its models are read as native objects, and a version is logged as one that answers the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from autodeploy_magic.build import Built
from autodeploy_magic.build.mlflow import log_version
from autodeploy_magic.build.read import read_model
from autodeploy_magic.build.read.mlflow import without_credentials
from autodeploy_magic.errors import BadInput, MissingPackage, ShipFailed
from autodeploy_magic.store import Store

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store of files: mlflow-skinny has no databases."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    address = (tmp_path / "mlruns").as_uri()
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    yield address
    mlflow.set_tracking_uri("")
    mlflow.set_registry_uri("")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)


@pytest.fixture(scope="module")
def model() -> Any:
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=500).fit(X, y)


ELSEWHERE = """
import sys, numpy, mlflow
mlflow.set_tracking_uri(sys.argv[1])
X = numpy.load(sys.argv[3])
loaded = mlflow.pyfunc.load_model(sys.argv[2])
import autodeploy_magic
print(autodeploy_magic.__file__)
numpy.save(sys.argv[4], loaded.predict(X))
"""


def test_a_version_is_logged_and_answers_the_same_elsewhere(
    make: Callable[..., Built], store: Store, model: Any, iris: tuple[Any, Any], tracking: str, tmp_path: Path
) -> None:
    X = iris[0]

    def named(y: Any) -> Any:
        return np.array(["setosa", "versicolor", "virginica"])[y]

    built = make(model, X, code={"postprocess": named})
    found = log_version(store, built.version, register="iris", tracking=tracking)
    assert found.registered == "models:/iris/1"
    assert found.flavors == ("python_function",)
    np.save(tmp_path / "rows.npy", X)
    arguments = [tracking, found.registered, str(tmp_path / "rows.npy"), str(tmp_path / "answers.npy")]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "mlruns" in done.stdout  # the copy in the model, not the one that is installed here
    assert np.array_equal(np.load(tmp_path / "answers.npy"), named(model.predict(X)))
    client = mlflow.MlflowClient()
    tags = client.get_run(found.run).data.tags
    assert tags["autodeploy_magic.version"] == "1"
    assert tags["autodeploy_magic.digest"] == built.version.digest
    assert tags["autodeploy_magic.trust"].startswith("amber: ")
    assert client.get_run(found.run).info.status == "FINISHED"
    assert client.get_model_version("iris", "1").tags["autodeploy_magic.deployment"] == "demo"
    about = mlflow.models.get_model_info(found.uri)
    assert about.signature.inputs.to_dict()[0]["tensor-spec"]["shape"] == (-1, 4)
    with pytest.raises(BadInput, match="Python code of its own"):
        read_model(found.registered)


def test_an_onnx_version_has_the_onnx_flavor_too_and_comes_back(
    make: Callable[..., Built],
    store: Store,
    model: Any,
    iris: tuple[Any, Any],
    tracking: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = make(model, iris[0])
    with mlflow.start_run() as run:
        found = log_version(store, built.version, register="plain")
        assert found.run == run.info.run_id
        assert mlflow.active_run() is not None
    assert found.flavors == ("onnx", "python_function")
    assert type(mlflow.onnx.load_model(found.uri)).__name__ == "ModelProto"
    mlflow.MlflowClient().set_registered_model_alias("plain", "champion", "1")
    for uri in ("models:/plain/1", "models:/plain@champion", found.uri):
        read = read_model(uri)
        assert type(read.model).__name__ == "ModelProto"
        assert read.source.startswith(f"{uri} (SHA-256 ")
        assert read.allowed_by == ""
    with pytest.raises(BadInput, match="MLflow has no models:/plain/7"):
        read_model("models:/plain/7")
    # A server's password is in no message and no record, and what MLflow was set to is what it is set to.
    with pytest.raises(ShipFailed) as failed:
        log_version(store, built.version, tracking="http://me:sesame@127.0.0.1:9/")
    assert "sesame" not in str(failed.value) + repr(failed.value.to_payload())
    assert mlflow.get_tracking_uri() == tracking
    assert "sesame" not in repr(dict(os.environ))
    for name in [name for name in sys.modules if "sqlalchemy" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)  # which the whole of MLflow brings, and Optuna
    with pytest.raises(MissingPackage, match="as a tracking store needs"):
        log_version(store, built.version, tracking="sqlite:///runs.db")


def test_sklearn_is_the_estimator_itself_and_needs_leave(model: Any, iris: tuple[Any, Any], tracking: str) -> None:
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(model, name="m", serialization_format="cloudpickle", pip_requirements=["scikit-learn"])
    uri = f"runs:/{run.info.run_id}/m"
    with pytest.raises(BadInput, match=r"pickle: reading it runs code"):
        read_model(uri)
    found = read_model(uri, allow_pickle=True)
    assert type(found.model) is LogisticRegression
    assert np.array_equal(found.model.predict(iris[0]), model.predict(iris[0]))
    assert found.allowed_by == "--allow-pickle"


def test_a_folder_is_read_by_its_flavor(iris: tuple[Any, Any], tracking: str, tmp_path: Path) -> None:
    import lightgbm
    import mlflow.lightgbm
    import mlflow.pytorch
    import mlflow.xgboost
    import torch
    import xgboost

    X, y = iris
    pins: dict[str, Any] = {"pip_requirements": ["x"]}
    kinds = xgboost.XGBClassifier(n_estimators=3).fit(X, y)
    mlflow.xgboost.save_model(kinds, tmp_path / "x", **pins)
    found = read_model(tmp_path / "x")
    assert np.array_equal(found.model.predict(X), kinds.predict(X))
    assert found.allowed_by == ""
    booster = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(X, y).booster_
    mlflow.lightgbm.save_model(booster, tmp_path / "l", **pins)
    assert np.allclose(read_model(tmp_path / "l").model.predict(X), booster.predict(X))
    net = torch.nn.Linear(4, 3)
    rows = torch.ones((2, 4))
    mlflow.pytorch.save_model(net, tmp_path / "t", serialization_format="pickle", **pins)
    with pytest.raises(BadInput, match="a pickled PyTorch object"):
        read_model(tmp_path / "t")
    assert torch.equal(read_model(tmp_path / "t", allow_pickle=True).model(rows), net(rows))
    mlflow.pytorch.save_model(net, tmp_path / "p", input_example=rows.numpy(), serialization_format="pt2", **pins)
    with pytest.raises(BadInput, match=r"a program of torch\.export"):
        read_model(tmp_path / "p")
    assert torch.equal(read_model(tmp_path / "p", allow_pickle=True).model(rows), net(rows))


def test_a_pyfunc_needs_leave_and_answers_by_its_predict(tracking: str, tmp_path: Path) -> None:
    class Double(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input * 2

    mlflow.pyfunc.save_model(tmp_path / "p", python_model=Double(), pip_requirements=["x"])
    with pytest.raises(BadInput, match="Python code of its own") as refused:
        read_model(tmp_path / "p")
    assert "cloudpickle" in refused.value.why
    found = read_model(tmp_path / "p", allow_pickle=True)
    assert np.array_equal(found.model.predict(np.eye(2)), np.eye(2) * 2)


def test_what_lies_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "secret.onnx").write_bytes(b"\x08\x07")
    (tmp_path / "m" / "MLmodel").write_text("flavors:\n  onnx:\n    data: ../secret.onnx\n")
    with pytest.raises(BadInput, match="outside the folder"):
        read_model(tmp_path / "m")
    (tmp_path / "m" / "MLmodel").write_text("flavors: [")
    with pytest.raises(BadInput, match="MLmodel cannot be read"):
        read_model(tmp_path / "m")
    (tmp_path / "m" / "MLmodel").write_text("flavors:\n  spark: {}\n")
    with pytest.raises(BadInput, match="of no flavor"):
        read_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host:5000/a", "https://host:5000/a"),
        ("see postgresql://u:p@db/x and http://h/?token=abc", "see postgresql://db/x and http://h/?…"),
        ("file:///tmp/runs", "file:///tmp/runs"),
        ("databricks", "databricks"),
    ],
)
def test_credentials_are_left_out(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
