"""Files of torch, Keras, TensorFlow and the boosters: data is read as data, weights go into a copy of the module."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodeploy_magic.build.read import read_model
from autodeploy_magic.errors import BadInput


@pytest.fixture(scope="module")
def net() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


X = np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4)


def answers(module: Any) -> Any:
    import torch

    with torch.no_grad():
        return module(torch.from_numpy(X)).numpy()


def blank() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


@pytest.mark.parametrize("kind", ["safetensors", "state dict", "checkpoint", "old format"])
def test_weights_go_into_a_copy_of_the_module_that_is_named(net: Any, tmp_path: Path, kind: str) -> None:
    import safetensors.torch
    import torch

    path = tmp_path / "weights.bin"
    if kind == "safetensors":
        safetensors.torch.save_file(net.state_dict(), path)
    else:
        saved = {"epoch": 3, "state_dict": net.state_dict()} if kind == "checkpoint" else net.state_dict()
        torch.save(saved, path, _use_new_zipfile_serialization=kind != "old format")
    into = blank().train()
    before = answers(into)
    found = read_model(path, into=into)
    assert np.array_equal(answers(found.model), answers(net))
    assert (found.allowed_by, found.model.training, into.training) == ("", False, True)
    assert np.array_equal(answers(into), before)
    with pytest.raises(BadInput, match=r"weights alone \(4: 0\.(weight|bias)"):
        read_model(path)
    with pytest.raises(BadInput, match="do not fit"):
        read_model(path, into=torch.nn.Sequential(torch.nn.Linear(4, 9)))
    with pytest.raises(BadInput, match=r"go into a torch\.nn\.Module"):
        read_model(path, into=np.eye(2))


def test_a_torchscript_archive_is_read_and_needs_no_leave(net: Any, tmp_path: Path) -> None:
    import torch

    torch.jit.script(net).save(str(tmp_path / "net.pt"))
    found = read_model(tmp_path / "net.pt")
    assert np.array_equal(answers(found.model), answers(net))


def test_a_pickled_module_needs_leave(net: Any, tmp_path: Path) -> None:
    import torch

    torch.save(net, tmp_path / "net.pt")
    with pytest.raises(BadInput, match=r"a pickled PyTorch object.*") as refused:
        read_model(tmp_path / "net.pt")
    assert "torch.nn.modules.linear.Linear" in refused.value.details["globals"]
    found = read_model(tmp_path / "net.pt", allow_pickle=True)
    assert np.array_equal(answers(found.model), answers(net))
    assert found.allowed_by == "--allow-pickle"


def test_torch_files_that_are_cut_off(net: Any, tmp_path: Path) -> None:
    import safetensors.torch
    import torch

    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    torch.save(net.state_dict(), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(BadInput, match="cut off"):
            read_model(tmp_path / name, into=blank())


def test_boosters_own_files(iris: tuple[Any, Any], tmp_path: Path) -> None:
    import lightgbm
    import xgboost
    from catboost import CatBoostClassifier

    rows, labels = iris
    kinds = xgboost.XGBClassifier(n_estimators=5).fit(rows, labels)
    kinds.save_model(tmp_path / "x.ubj")
    kinds.save_model(tmp_path / "x.json")
    shutil.copy(tmp_path / "x.ubj", tmp_path / "x.model")
    for name in ("x.ubj", "x.json", "x.model"):
        found = read_model(tmp_path / name).model
        assert type(found).__name__ == "XGBClassifier"
        assert np.array_equal(found.predict(rows), kinds.predict(rows))
    numbers = xgboost.XGBRegressor(n_estimators=5).fit(rows, labels)
    numbers.save_model(tmp_path / "r.ubj")
    assert type(read_model(tmp_path / "r.ubj").model).__name__ == "XGBRegressor"
    xgboost.train({}, xgboost.DMatrix(rows, labels), 3).save_model(tmp_path / "b.ubj")
    assert type(read_model(tmp_path / "b.ubj").model).__name__ == "Booster"
    light = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(rows, labels)
    light.booster_.save_model(tmp_path / "l.txt")
    assert np.allclose(read_model(tmp_path / "l.txt").model.predict(rows), light.predict(rows))
    cat = CatBoostClassifier(iterations=5, verbose=False, allow_writing_files=False).fit(rows, labels)
    cat.save_model(str(tmp_path / "c.cbm"))
    found = read_model(tmp_path / "c.cbm").model
    assert np.array_equal(found.predict(rows), cat.predict(rows))
    assert type(found).__name__ == "CatBoostClassifier"
    for name in ("x.ubj", "x.json", "l.txt", "c.cbm"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(BadInput, match="cut off"):
            read_model(tmp_path / name)


def test_keras_files(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    wanted = model.predict(X, verbose=0)

    def same(found: Any) -> bool:
        return bool(np.allclose(found.predict(X, verbose=0), wanted, atol=1e-6))

    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    model.save_weights(tmp_path / "net.weights.h5")
    (tmp_path / "net.json").write_text(model.to_json())
    assert same(read_model(tmp_path / "model.keras").model)
    assert same(read_model(tmp_path / "model.h5").model)
    assert same(read_model(tmp_path / "net.json").model)  # with the weights of its name beside it
    (tmp_path / "net.weights.h5").rename(tmp_path / "other.weights.h5")
    assert same(read_model(f"{tmp_path}/net.json,{tmp_path}/other.weights.h5").model)
    with pytest.raises(BadInput, match="without its weights"):
        read_model(tmp_path / "net.json")
    into = keras.models.clone_model(model)
    before = into.predict(X, verbose=0)
    assert same(read_model(tmp_path / "other.weights.h5", into=into).model)
    assert np.array_equal(into.predict(X, verbose=0), before)
    with pytest.raises(BadInput, match="at most weights"):
        read_model(tmp_path / "other.weights.h5")


def test_a_saved_model_is_its_folder_or_the_file_in_it(tmp_path: Path) -> None:
    import tensorflow as tf

    class Doubler(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
        def __call__(self, x: Any) -> Any:
            return x * 2.0

    doubler = Doubler()
    tf.saved_model.save(doubler, str(tmp_path / "saved"), signatures=doubler.__call__)
    for place in (tmp_path / "saved", tmp_path / "saved" / "saved_model.pb"):
        found = read_model(place).model
        assert np.array_equal(found.signatures["serving_default"](tf.constant(X))["output_0"].numpy(), X * 2)
    (tmp_path / "saved" / "saved_model.pb").unlink()
    with pytest.raises(BadInput, match=r"without its saved_model\.pb"):
        read_model(tmp_path / "saved")
