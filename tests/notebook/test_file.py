"""A model given by path, as a person gives one: in a cell, in Python, in a terminal."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from IPython.core.interactiveshell import InteractiveShell
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from world import World

import autodeploy_magic as ad
from autodeploy_magic import cli
from autodeploy_magic.errors import BadInput, InvalidOption, StartFailed
from autodeploy_magic.notebook.cell import check_file, variable

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import skops.io

    folder = tmp_path_factory.mktemp("files")
    model = LogisticRegression(max_iter=500).fit(X, Y)
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    skops.io.dump(model, folder / "model.skops")
    np.save(folder / "rows.npy", X)
    return folder


def test_a_file_is_deployed_and_told_where_it_came_from(
    world: World, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(BadInput, match="runs code that whoever wrote it chose"):
        ad.deploy("model.pkl", "by-path", sample=X, quiet=True)
    dep = ad.deploy(Path("model.skops"), "by-path", sample=X)
    wanted = LogisticRegression(max_iter=500).fit(X, Y).predict(X[:5])
    assert np.array_equal(dep.predict(X[:5]), wanted)
    assert "✓ read" in capsys.readouterr().err
    version = dep.versions()[-1]
    assert version.source.startswith("model.skops (SHA-256 ")
    assert f"source       {version.source}" in dep.text()
    again = ad.deploy("model.pkl", "by-path", sample=X, allow_pickle=True, quiet=True, postprocess=lambda y: y + 1)
    amber = again.versions()[-1]
    assert (amber.trust.level, amber.trust.allowed_by) == ("amber", "--allow-pickle")
    for shown in (again.text(), again.versions().text(), again.status.text()):
        assert (
            "amber: an ONNX model with Python functions of this notebook around it; allowed by --allow-pickle" in shown
        )
    assert "allowed by --allow-pickle" in str(again.html())
    assert "model.pkl (SHA-256" in str(again.html())


def test_a_version_without_the_right_signature_does_not_start(
    world: World, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("OpenSSL", reason="model-signing imports pyOpenSSL, which it does not require")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (files / "my.key").write_bytes(key.private_bytes(pem, *plain))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (files / "my.pub").write_bytes(public)
    dep = ad.deploy(files / "model.skops", "signed", sample=X, quiet=True)
    monkeypatch.setenv("AUTODEPLOY_VERIFY_KEY", str(files / "my.pub"))
    with pytest.raises(StartFailed, match="does not start: it is not signed"):
        dep.restart()
    assert dep.status.state == "running"  # the workers of before
    monkeypatch.setenv("AUTODEPLOY_SIGNING_KEY", str(files / "my.key"))
    dep = ad.deploy(files / "model.skops", "signed", sample=X, quiet=True)
    assert (dep.version, dep.status.state) == (2, "running")
    assert "; signed by the key " in dep.status.text()
    with pytest.raises(StartFailed, match="it is not signed"):
        dep.rollback()
    assert np.array_equal(dep.predict(X[:1]), [0])
    dep.stop()


def test_a_deployment_is_logged_to_mlflow(
    world: World, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    address = (tmp_path / "runs").as_uri()
    ad.deploy(files / "model.skops", "logged", sample=X, quiet=True)
    assert cli.main(["mlflow", "logged", "--tracking", address, "--register", "iris"]) == 0
    shown = capsys.readouterr().out
    assert "logged v1 is logged to MLflow" in shown
    assert "mlflow.pyfunc.load_model('models:/iris/1').predict(X)" in shown
    assert str(ad.attach("logged").mlflow(tracking=address).html()).count("onnx, python_function") == 1
    ad.attach("logged").stop()


def test_the_cell_may_be_empty_and_the_file_replaces_its_model(
    world: World, shell: InteractiveShell, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTODEPLOY_HOME", str(world.store.home))
    shell.user_ns.update(rows=X)
    line = f"by-cell --file {files / 'model.skops'} --sample rows --dry-run --quiet --out plan"
    shell.run_cell_magic("deploy", line, "\n")
    assert shell.user_ns["plan"].version.source.startswith("model.skops")
    assert shell.user_ns["plan"].version.model_type == "LogisticRegression"


def test_what_is_not_there_is_said_before_the_cell_runs(shell: InteractiveShell, files: Path) -> None:
    shell.user_ns.update(rows=X)
    with pytest.raises(BadInput, match="there is no file"):
        shell.run_cell_magic("deploy", f"x --file {files / 'modell.skops'} --sample rows", "ran = True")
    assert "ran" not in shell.user_ns
    check_file("made.pkl", "joblib.dump(model, 'made.pkl')")  # the cell may make it
    with pytest.raises(BadInput, match="download it first"):
        check_file("https://a.b/model.pkl", "")


def test_a_file_as_model_is_pointed_to_the_option(files: Path) -> None:
    with pytest.raises(InvalidOption, match=r"--file .*model\.skops"):
        variable("model", str(files / "model.skops"), {})


def test_leave_without_a_file_is_refused(world: World) -> None:
    with pytest.raises(InvalidOption, match="--allow-pickle goes with --file"):
        ad.deploy(LogisticRegression(max_iter=500).fit(X, Y), "x", sample=X, allow_pickle=True)


def test_the_terminal_takes_files_too(world: World, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments: list[Any] = ["--sample", str(files / "rows.npy"), "--dry-run"]
    assert cli.main(["deploy", "by-terminal", "--file", str(files / "model.skops"), *arguments]) == 0
    assert "dry run: would be v1 of by-terminal" in capsys.readouterr().out
    assert cli.main(["deploy", "by-terminal", *arguments]) == 2
    assert "there is no --file" in capsys.readouterr().err
    assert cli.main(["deploy", "by-terminal", "--file", str(files / "model.pkl"), *arguments]) == 1
    assert "sklearn.linear_model._logistic.LogisticRegression" in capsys.readouterr().err
