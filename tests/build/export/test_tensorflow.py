"""TensorFlow without Keras: modules, functions, loaded SavedModels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replayed import differing, replayed

from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.build.export.tensorflow import exporter
from autodeploy_magic.build.export.tensorflow_files import load_saved_model
from autodeploy_magic.errors import BadInput, BadSample

tf = pytest.importorskip("tensorflow")

NOTEBOOK = """
import tensorflow as tf

class Linear(tf.Module):
    def __init__(self, by=1.0):
        super().__init__()
        self.weights = tf.Variable(tf.reshape(tf.range(8.0), (4, 2)) * by)

    @tf.function
    def __call__(self, x):
        return {"score": x @ self.weights, "high": tf.reduce_sum(x, axis=1) > 1.0}

class Untraced(tf.Module):
    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(tf.ones((4, 1)))

    def __call__(self, x):
        for _ in range(3):
            x = x * 2.0
        return x @ self.weights

@tf.function
def looped(x):
    for _ in tf.range(3):
        x = x * 2.0
    return x

@tf.function(
    input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x"), tf.TensorSpec((None,), tf.float32, name="by")]
)
def scaled(x, by):
    return x * by[:, None]

@tf.function
def named(x):
    return tf.strings.join(["row ", tf.strings.as_string(tf.range(tf.shape(x)[0]))])

class Weights(tf.Module):
    pass
"""


@pytest.fixture
def rows() -> Any:
    return np.random.default_rng(0).normal(size=(6, 4))


@pytest.fixture
def cell(notebook: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return notebook(NOTEBOOK)


@pytest.mark.parametrize("format", ["saved_model", "onnx"])
@pytest.mark.parametrize("name", ["Linear", "Untraced", "looped"])
def test_each_format_answers_as_it_does(
    cell: dict[str, Any], rows: Any, name: str, format: str, tmp_path: Path
) -> None:
    model = cell[name]() if isinstance(cell[name], type) else cell[name]
    assert exporter_of(model) is exporter
    found = replayed(model, rows, format, tmp_path)
    assert next(iter(found.live)) == "predictions"
    assert not differing(found.live, found.found)


def test_the_declared_inputs_go_by_name(cell: dict[str, Any], rows: Any, tmp_path: Path) -> None:
    sample = {"by": np.arange(6), "x": rows}
    for format in ("onnx", "saved_model"):
        found = replayed(cell["scaled"], sample, format, tmp_path)
        np.testing.assert_allclose(found.found["predictions"], rows * np.arange(6)[:, None], rtol=1e-5)
    with pytest.raises(BadSample, match="2 inputs: x, by") as told:
        exporter.live(cell["scaled"], rows)
    assert "{'x': …, 'by': …}" in told.value.fix


def test_a_concrete_function(cell: dict[str, Any], rows: Any, tmp_path: Path) -> None:
    concrete = cell["looped"].get_concrete_function(tf.TensorSpec((None, 4), tf.float32))
    assert exporter.recognises(concrete)
    found = replayed(concrete, rows, "onnx", tmp_path)
    np.testing.assert_allclose(found.found["predictions"], rows * 8, rtol=1e-5)


def test_text_answers_are_text(cell: dict[str, Any], rows: Any, tmp_path: Path) -> None:
    found = replayed(cell["named"], rows[:2], "saved_model", tmp_path)
    assert found.live["predictions"].tolist() == ["row 0", "row 1"] == found.found["predictions"].tolist()


def test_a_loaded_saved_model(cell: dict[str, Any], rows: Any, tmp_path: Path) -> None:
    module = cell["Linear"]()
    given = tmp_path / "given"
    concrete = module.__call__.get_concrete_function(tf.TensorSpec((None, 4), tf.float32))
    tf.saved_model.save(module, str(given), signatures=concrete)
    model = load_saved_model(given)
    assert exporter_of(model) is exporter
    assert exporter.model_type(model) == "SavedModel"
    for format in ("onnx", "saved_model"):
        (tmp_path / format).mkdir()
        found = replayed(model, rows, format, tmp_path / format)
        assert not differing(found.live, found.found)
    assert list(found.live) == ["predictions", "score"]  # by the alphabet: TensorFlow keeps no order of them


def test_the_object_in_a_saved_model_is_the_module(cell: dict[str, Any], rows: Any, tmp_path: Path) -> None:
    """What a person's own predict(model, x) is given."""
    found = replayed(cell["Linear"](), rows, "saved_model", tmp_path)
    answer = found.runner.model(tf.constant(rows, tf.float32))
    np.testing.assert_allclose(answer["score"], found.live["predictions"], rtol=1e-5)


def test_a_saved_model_of_keras_is_called_like_one(rows: Any, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    found = replayed(model, rows, "saved_model", tmp_path)
    for answer in (found.runner.model(rows, training=False), found.runner.model.predict(rows, verbose=0)):
        np.testing.assert_allclose(answer, found.live["predictions"], rtol=1e-5)


def test_fingerprints_are_of_content(notebook: Callable[..., dict[str, Any]], rows: Any) -> None:
    def made(name: str, *arguments: Any) -> str:
        thing = notebook(NOTEBOOK)[name]
        model = thing(*arguments) if isinstance(thing, type) else thing
        exporter.live(model, rows)
        return exporter.fingerprint(model)

    for name in ("Linear", "Untraced", "looped"):
        assert made(name) == made(name)
    assert made("Linear", 2.0) != made("Linear")
    assert made("Linear") != made("Untraced")


def test_what_cannot_be_called_is_said(cell: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"weights \(Weights\) cannot be called"):
        exporter.check_fitted(cell["Weights"](), "weights")
    for other in (tf.Variable(1.0), tf.constant(1.0), tf.Module, tf.keras.layers.Dense(2), tf.keras.optimizers.Adam()):
        assert not exporter.recognises(other)


def test_folders_that_are_no_saved_models_are_refused(cell: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a SavedModel"):
        load_saved_model(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"hello")
    with pytest.raises(BadInput, match="cannot be read"):
        load_saved_model(tmp_path / "damaged")
    tf.saved_model.save(cell["Weights"](), str(tmp_path / "bare"))
    with pytest.raises(BadInput, match="no function that could answer"):
        load_saved_model(tmp_path / "bare")
