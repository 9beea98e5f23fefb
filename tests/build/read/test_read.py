"""Files given as models: the kind is told by content, what cannot be read says what it looks like."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.build.read import Given, read_model
from autodeploy_magic.errors import BadInput, MissingPackage


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pipeline, saved in every way that scikit-learn's people save one."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    folder = tmp_path_factory.mktemp("models")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, y)
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    for protocol in (0, 1, 2, 5):
        (folder / f"protocol-{protocol}.pkl").write_bytes(pickle.dumps(model, protocol=protocol))
    joblib.dump(model, folder / "plain.joblib")
    joblib.dump(forest, folder / "forest.joblib")
    for packing in ("gzip", "bz2", "xz", "lzma", "zlib"):
        joblib.dump(model, folder / f"{packing}.joblib", compress=(packing, 3))
    skops.io.dump(model, folder / "model.skops")
    skops.io.dump(forest, folder / "forest.skops")
    (folder / "model.onnx").write_bytes(to_onnx(model, X[:1].astype("float32")).SerializeToString())
    return folder


PICKLES = [
    *(f"protocol-{n}.pkl" for n in (0, 1, 2, 5)),
    *("plain.joblib", "forest.joblib", "gzip.joblib", "bz2.joblib", "xz.joblib", "lzma.joblib", "zlib.joblib"),
]


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_is_refused_with_what_it_would_import_and_read_with_leave(
    models: Path, iris: tuple[Any, Any], name: str
) -> None:
    with pytest.raises(BadInput, match="runs code that whoever wrote it chose") as refused:
        read_model(models / name)
    names = refused.value.details["globals"]
    assert "sklearn.ensemble._forest.RandomForestClassifier" in names or "sklearn.pipeline.Pipeline" in names
    assert not [n for n in names if "inert" in n]
    assert refused.value.details["sha256"] in refused.value.why
    assert "and more that could not be told" not in refused.value.why
    assert "--allow-pickle" in refused.value.fix
    found = read_model(models / name, allow_pickle=True)
    assert (found.model.predict(iris[0]) == iris[1]).mean() > 0.9
    assert (found.allowed_by, found.source.partition(" (SHA-256 ")[0]) == ("--allow-pickle", name)


@pytest.mark.parametrize(("name", "wrong"), [("model.skops", "model.pkl"), ("protocol-5.pkl", "model.onnx")])
def test_the_kind_is_that_of_the_content_and_not_of_the_suffix(
    models: Path, tmp_path: Path, name: str, wrong: str
) -> None:
    shutil.copy(models / name, tmp_path / wrong)
    assert type(read_model(tmp_path / wrong, allow_pickle=True).model).__name__ == "Pipeline"


def test_onnx_stays_a_path_and_needs_no_leave(models: Path, tmp_path: Path) -> None:
    found = read_model(models / "model.onnx")
    assert (found.model, found.allowed_by) == ((models / "model.onnx").resolve(), "")
    shutil.copy(models / "model.onnx", tmp_path / "network.bin")
    assert type(read_model(tmp_path / "network.bin").model).__name__ == "ModelProto"


def test_skops_with_known_types_needs_no_leave_and_others_are_named(models: Path) -> None:
    assert read_model(models / "model.skops").allowed_by == ""
    with pytest.raises(BadInput, match=r"not know to be safe: sklearn\.tree\._tree\.Tree"):
        read_model(models / "forest.skops")
    found = read_model(models / "forest.skops", allow_pickle=True)
    assert found.allowed_by == "--allow-pickle"
    assert "sklearn.tree._tree.Tree" in found.notes[0]


def test_a_path_may_be_relative_or_in_the_home_folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models.parent)
    assert read_model(f"{models.name}/model.skops").model is not None
    monkeypatch.setenv("HOME", str(models))
    assert read_model("~/model.skops").model is not None
    assert read_model(Path("~/model.skops")).model is not None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pkl", b"", "an empty file, of 0 bytes"),
        ("a.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "Git LFS pointer"),
        ("a.onnx", b"/annex/objects/SHA256E-s1--1.onnx\n", "git-annex pointer"),
        ("a.pkl", b"<!DOCTYPE html><html>log in</html>", "page of the web"),
        ("a.pt", b"\x00" * 4000, "of zeros"),
        ("a.pkl", b"import os\nprint(1)\n", "Python source"),
        ("a.json", b'{"rows": []}', "JSON of no model"),
        ("a.bin", b"GGUF\x03\x00\x00\x00", "GGUF model"),
        ("a.bin", b"\x1c\x00\x00\x00TFL3....", "TensorFlow Lite"),
        ("a.pkl", b"PAR1....", "Parquet table"),
        ("a.pmml", b"<?xml version='1.0'?><PMML/>", "a PMML model"),
        ("a.pkl", bytes(range(129, 200)), "looks like"),
        ("a.zip", b"PK\x03\x04 cut off here", "cut off or damaged"),
    ],
)
def test_what_is_no_model_says_what_it_looks_like(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words) as refused:
        read_model(tmp_path / name, allow_pickle=True)
    assert refused.value.fix


def test_arrays_and_folders_of_no_model_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", w=np.eye(2))
    with pytest.raises(BadInput, match="weights alone"):
        read_model(tmp_path / "weights.npz")
    with pytest.raises(BadInput, match=r"a folder of 1 files \(weights.npz\)"):
        read_model(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty folder"):
        read_model(tmp_path / "empty")


@pytest.mark.parametrize(
    "name", ["protocol-2.pkl", "gzip.joblib", "zlib.joblib", "xz.joblib", "model.skops", "model.onnx"]
)
def test_a_file_that_is_cut_off_says_so(models: Path, tmp_path: Path, name: str) -> None:
    whole = (models / name).read_bytes()
    for share in (0.3, 0.6, 0.95):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BadInput, match="cut off"):
            read_model(tmp_path / name, allow_pickle=True)


def test_a_path_that_is_not_there_names_the_nearest(models: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'model.skops'"):
        read_model(models / "modell.skops")
    with pytest.raises(BadInput, match="there is no folder"):
        read_model(models / "nowhere" / "model.skops")


@pytest.mark.parametrize(
    "uri", ["https://a.b/model.pkl", "s3://bucket/model.onnx", "hf://me/model", "file:///tmp/x.pkl"]
)
def test_an_address_is_refused_with_what_to_do(uri: str) -> None:
    with pytest.raises(BadInput, match="download it first"):
        read_model(uri)


def test_a_file_that_is_written_to_meanwhile_is_refused(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pkl"
    shutil.copy(models / "protocol-5.pkl", path)
    data = Given.data

    def written_to(given: Given) -> bytes:
        found = data(given)
        with path.open("ab") as stream:
            stream.write(b"more")
        return found

    monkeypatch.setattr(Given, "data", written_to)
    with pytest.raises(BadInput, match="changed while it was read"):
        read_model(path, allow_pickle=True)


def test_another_release_of_scikit_learn_is_noted(models: Path, tmp_path: Path) -> None:
    found = pickle.loads((models / "protocol-2.pkl").read_bytes())
    state = found.steps[0][1].__dict__
    before = type(found.steps[0][1]).__getstate__
    type(found.steps[0][1]).__getstate__ = lambda self: {**state, "_sklearn_version": "1.0.2"}  # type: ignore[method-assign]
    try:
        (tmp_path / "old.pkl").write_bytes(pickle.dumps(found))
    finally:
        type(found.steps[0][1]).__getstate__ = before  # type: ignore[method-assign]
    notes = read_model(tmp_path / "old.pkl", allow_pickle=True).notes
    assert len(notes) == 1
    assert "written by scikit-learn 1.0.2" in notes[0]


def test_a_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "theirs.pkl").write_bytes(b"cno_such_package.models\nModel\n(tR.")
    with pytest.raises(MissingPackage, match="no_such_package"):
        read_model(tmp_path / "theirs.pkl", allow_pickle=True)


def test_a_class_of_another_notebook_is_named(tmp_path: Path) -> None:
    (tmp_path / "theirs.pkl").write_bytes(b"c__main__\nMyVeryOwnModel\n(tR.")
    with pytest.raises(BadInput, match="MyVeryOwnModel"):
        read_model(tmp_path / "theirs.pkl", allow_pickle=True)
