"""Files of Keras, of this release and of those before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodeploy_magic.build.export.keras_files import load_json_and_weights, load_keras
from autodeploy_magic.errors import BadInput

keras = pytest.importorskip("keras")

DENSE_OF_KERAS_2 = {
    "name": "dense",
    "trainable": True,
    "batch_input_shape": [None, 4],
    "dtype": "float32",
    "units": 3,
    "activation": "softmax",
    "use_bias": True,
    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
    "bias_initializer": {"class_name": "Zeros", "config": {}},
    "kernel_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "bias_constraint": None,
}
JSON_OF_KERAS_2 = {
    "class_name": "Sequential",
    "config": {"name": "sequential", "layers": [{"class_name": "Dense", "config": DENSE_OF_KERAS_2}]},
    "keras_version": "2.4.0",
    "backend": "tensorflow",
}
"""What model.to_json() gave in 2020."""


@pytest.fixture(scope="module")
def rows() -> Any:
    return np.random.default_rng(0).normal(size=(9, 4)).astype("float32")


@pytest.fixture
def model() -> Any:
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax", name="dense")])


def _old_weights(model: Any, path: Path) -> None:
    """Weights as releases before Keras 3 wrote them: the part of a whole HDF5 file that Keras still writes so."""
    import h5py

    whole = path.with_name("whole.h5")
    model.save(whole)
    with h5py.File(whole, "r") as given, h5py.File(path, "w") as weights:
        for key, value in given["model_weights"].attrs.items():
            weights.attrs[key] = value
        for key in given["model_weights"]:
            given["model_weights"].copy(key, weights)


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.hdf5"])
def test_a_whole_model(model: Any, rows: Any, name: str, tmp_path: Path) -> None:
    model.compile("adam", "mse", metrics=["mae"])
    model.save(tmp_path / name)
    renamed = tmp_path / "from the internet"
    (tmp_path / name).rename(renamed)
    found = load_keras(renamed)
    np.testing.assert_array_equal(found(rows), model(rows))
    assert not found.compiled


def test_json_and_weights(model: Any, rows: Any, tmp_path: Path) -> None:
    model.compile("adam", loss=lambda wanted, found: wanted - found)  # nothing that an answer needs
    description, weights = tmp_path / "model.json", tmp_path / "model.weights.h5"
    description.write_text(model.to_json())
    model.save_weights(weights)
    np.testing.assert_array_equal(load_json_and_weights(description, weights)(rows), model(rows))


@pytest.mark.parametrize("name", ["weights.h5", "model.weights.h5"])
def test_json_and_weights_of_an_old_tutorial(model: Any, rows: Any, name: str, tmp_path: Path) -> None:
    description, weights = tmp_path / "model.json", tmp_path / name
    description.write_text(json.dumps(JSON_OF_KERAS_2))
    _old_weights(model, weights)
    np.testing.assert_array_equal(load_json_and_weights(description, weights)(rows), model(rows))


def test_what_is_no_model_is_said(model: Any, tmp_path: Path) -> None:
    weights, text, cut, description = (tmp_path / n for n in ("m.weights.h5", "a.keras", "b.keras", "c.json"))
    model.save_weights(weights)
    text.write_text("hello")
    model.save(tmp_path / "whole.keras")
    cut.write_bytes((tmp_path / "whole.keras").read_bytes()[:2000])
    description.write_text("{}")
    for path, words in ((weights, "weights alone"), (text, "not a Keras model"), (cut, "not a Keras model")):
        with pytest.raises(BadInput, match=words):
            load_keras(path)
    with pytest.raises(BadInput, match="there is no file"):
        load_keras(tmp_path / "nowhere.keras")
    with pytest.raises(BadInput, match="does not describe a Keras model"):
        load_json_and_weights(description, weights)
    description.write_text(model.to_json())
    with pytest.raises(BadInput, match="no file of weights"):
        load_json_and_weights(description, text)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        with pytest.raises(BadInput, match="has a Lambda layer") as told:
            load_keras(tmp_path / name)
        assert "safe_mode=False" in told.value.fix


def test_classes_of_the_persons_own_are_asked_for(tmp_path: Path) -> None:
    class Doubled(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
        def call(self, x: Any) -> Any:
            return x * 2

    keras.Sequential([keras.Input((4,)), Doubled()]).save(tmp_path / "model.keras")
    with pytest.raises(BadInput, match="needs the class Doubled") as told:
        load_keras(tmp_path / "model.keras")
    assert "custom_objects={'Doubled': Doubled}" in told.value.fix
    assert load_keras(tmp_path / "model.keras", {"Doubled": Doubled}).built
