"""Keras models: each format answers as the live object does, and what cannot be had is said."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replayed import differing, replayed

from autodeploy_magic.build import Built
from autodeploy_magic.build.export.keras import exporter
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadSample, ExportFailed, UnfittedModel

keras = pytest.importorskip("keras")
layers = keras.layers

SIGNATURE = Signature(container="ndarray", columns=())
NOTEBOOK = '''
import keras
import tensorflow as tf
from keras import ops

SCALE = 2.0

def wavy(x):
    return ops.sin(x) * SCALE

class Plain(keras.Model):
    """As tutorials write them: __init__ takes nothing, and passes nothing on."""

    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(8, activation=wavy)
        self.second = keras.layers.Dense(2)

    def call(self, x, training=False):
        return self.second(self.first(x)), self.first(x)

class Scaled(keras.layers.Layer):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, x):
        return x * self.by

class Rounding(keras.Sequential):
    def predict_step(self, data):
        return ops.round(super().predict_step(data))

plain = Plain()
layered = keras.Sequential([keras.Input((4,)), Scaled(3.0), keras.layers.Dense(2)])
lambdas = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: tf.abs(x) * SCALE)])
rounding = Rounding([keras.Input((4,)), keras.layers.Dense(2)])
'''


@pytest.fixture
def rows() -> Any:
    return np.random.default_rng(0).normal(size=(20, 4))  # float64, for models that compute in float32


@pytest.fixture
def dense() -> Any:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])


@pytest.fixture(scope="module")
def mixed() -> tuple[Any, dict[str, Any]]:
    """A table of text and numbers through preprocessing layers, two answers by name."""
    keras.utils.set_random_seed(2)
    numbers = np.random.default_rng(0).normal(3, 2, size=(40, 2))
    city, size = keras.Input((1,), dtype="string", name="city"), keras.Input((2,), name="size")
    normal = layers.Normalization()
    normal.adapt(numbers)
    known = layers.StringLookup(vocabulary=["oslo", "rome"], output_mode="one_hot")
    joined = layers.Concatenate()([known(city), normal(size)])
    model = keras.Model([city, size], {"price": layers.Dense(1)(joined), "days": layers.Dense(2)(joined)})
    return model, {"city": np.array(["rome", "oslo", "nice", "é"] * 10, dtype=object), "size": numbers}


@pytest.mark.parametrize("format", ["keras", "onnx", "saved_model"])
def test_each_format_answers_as_the_model_does(dense: Any, rows: Any, format: str, tmp_path: Path) -> None:
    found = replayed(dense, rows, format, tmp_path)
    assert not differing(found.live, found.found)
    assert found.found["predictions"].dtype == np.float32


def test_calling_a_model_says_what_its_predict_says(dense: Any, rows: Any, mixed: tuple[Any, dict[str, Any]]) -> None:
    """So that what is served is what people see."""
    assert not differing(exporter.live(dense, rows), {"predictions": dense.predict(rows, verbose=0)}, 1e-6)
    model, table = mixed
    tensors = {name: keras.ops.convert_to_tensor(values) for name, values in table.items()}
    said = model.predict(tensors, verbose=0)
    assert not differing(exporter.live(model, table), {"predictions": said["price"], "days": said["days"]}, 1e-6)


@pytest.mark.parametrize("format", ["keras", "saved_model"])
def test_text_and_numbers_by_name(mixed: tuple[Any, dict[str, Any]], format: str, tmp_path: Path) -> None:
    found = replayed(*mixed, format, tmp_path)
    assert list(found.live) == ["predictions", "days"] == list(exporter.methods(mixed[0]))
    assert not differing(found.live, found.found)


def test_what_onnx_has_no_operator_for_is_named(mixed: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ExportFailed) as told:
        replayed(*mixed, "onnx", tmp_path)
    assert "LookupTableFindV2" in told.value.why
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_columns_for_several_inputs_and_rows_for_one(mixed: tuple[Any, Any], dense: Any, rows: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list("abcd"))
    assert not differing(exporter.live(dense, frame), exporter.live(dense, rows))
    size = keras.Input((1,), name="size")
    age = keras.Input((1,), name="age")
    model = keras.Model([size, age], layers.Dense(1)(layers.Concatenate()([size, age])))
    table = pd.DataFrame({"age": rows[:, 0], "size": rows[:, 1], "other": "x"})
    by_name = {"size": rows[:, 1:2], "age": rows[:, :1]}
    assert not differing(exporter.live(model, table), exporter.live(model, by_name))


def test_texts_through_a_vectorizer(tmp_path: Path) -> None:
    vectorize = layers.TextVectorization(max_tokens=20, output_sequence_length=5)
    vectorize.adapt(["a good film", "a bad film", "ok"])
    model = keras.Sequential(
        [keras.Input((), dtype="string"), vectorize, layers.Embedding(20, 3), layers.GlobalAveragePooling1D()]
    )
    found = replayed(model, ["good film", "bad", "what?", "ok ok"], "keras", tmp_path)
    assert not differing(found.live, found.found)


def test_sequences_of_any_length(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((None, 3)), layers.LSTM(4), layers.Dense(1)])
    found = replayed(model, np.ones((4, 6, 3), "float32"), "onnx", tmp_path)
    assert not differing(found.live, found.found)
    longer = np.random.default_rng(0).normal(size=(3, 11, 3)).astype("float32")
    assert not differing(exporter.live(model, longer), found.runner.run(longer, ["predictions"]), 1e-4)


@pytest.mark.parametrize("name", ["plain", "layered", "lambdas"])
@pytest.mark.parametrize("format", ["keras", "onnx"])
def test_code_of_the_notebook_travels(
    notebook: Callable[..., dict[str, Any]], rows: Any, name: str, format: str, tmp_path: Path
) -> None:
    model = notebook(NOTEBOOK)[name]
    model(rows)  # which builds the subclassed one
    found = replayed(model, rows, format, tmp_path)
    assert not differing(found.live, found.found)
    said = exporter.opaque(model, "keras")
    assert {"plain": "Plain", "layered": "Scaled", "lambdas": "a Lambda layer"}[name] in said
    assert exporter.opaque(model, "onnx") == ""


def test_it_travels_into_a_clean_process(
    notebook: Callable[..., dict[str, Any]], make: Callable[..., Built], rows: Any
) -> None:
    """Behind a predict of the person's own, which is given the model as it was."""
    cell = notebook(
        NOTEBOOK + "def predict(model, x):\n    return model.predict(x, verbose=0)[0].argmax(axis=1)\n", rows=rows
    )
    cell["plain"](rows)
    version = make(cell["plain"], rows, code={"predict": cell["predict"]}, dry_run=True).version
    assert (version.format, version.model_type) == ("keras", "Plain")
    assert version.trust.level == "amber"
    pinned = {pin.partition("==")[0] for pin in version.environment.requirements}
    assert {"keras", "h5py"} <= pinned
    assert {"tensorflow_cpu", "tensorflow-cpu", "tensorflow"} & pinned


def test_a_predict_of_its_own_is_what_answers(
    notebook: Callable[..., dict[str, Any]], rows: Any, tmp_path: Path
) -> None:
    model = notebook(NOTEBOOK)["rounding"]
    assert exporter.formats_for(model) == ("keras",)
    found = replayed(model, rows, "keras", tmp_path)
    assert (found.live["predictions"] == np.round(found.live["predictions"])).all()
    assert not differing(found.live, found.found)


def test_the_file_holds_no_training_and_the_model_keeps_it(dense: Any, rows: Any, tmp_path: Path) -> None:
    """A loss of the person's own is nothing that an answer needs."""
    dense.compile("adam", loss=lambda wanted, found: keras.ops.mean((wanted - found) ** 2))
    dense.fit(rows, np.zeros((20, 3)), epochs=1, verbose=0)
    found = replayed(dense, rows, "keras", tmp_path)
    with zipfile.ZipFile(found.path / "model.keras") as archive:
        assert b"<lambda>" not in archive.read("config.json")
        assert {item.date_time[0] for item in archive.infolist()} == {1980}
    whole = tmp_path / "whole.keras"
    dense.save(whole)
    assert (found.path / "model.keras").stat().st_size < whole.stat().st_size
    assert int(dense.optimizer.iterations) == 1
    assert exporter.opaque(dense, "keras") == ""
    dense.fit(rows, np.zeros((20, 3)), epochs=1, verbose=0)


def test_equal_models_have_equal_fingerprints() -> None:
    def made(*, scale: float = 0.5, words: tuple[str, ...] = ("a", "b")) -> str:
        keras.utils.set_random_seed(4)
        lookup = layers.StringLookup(output_mode="count")
        lookup.adapt(list(words))
        text = keras.Input((None,), dtype="string")
        scaled = layers.Lambda(lambda x: x * scale)(lookup(text))
        return exporter.fingerprint(keras.Model(text, layers.Dense(2)(scaled)))

    first = made()
    assert made() == first
    assert made(scale=0.25) != first
    assert made(words=("a", "c")) != first


def test_weights_decide_the_fingerprint(dense: Any) -> None:
    before = exporter.fingerprint(dense)
    dense.layers[-1].kernel.assign_add(np.full((4, 3), 1e-6, "float32"))
    assert exporter.fingerprint(dense) != before


def test_a_model_that_was_never_built_is_refused(notebook: Callable[..., dict[str, Any]]) -> None:
    for model in (keras.Sequential([layers.Dense(2)]), notebook(NOTEBOOK)["plain"]):
        assert exporter.recognises(model)
        with pytest.raises(UnfittedModel, match="never been built"):
            exporter.check_fitted(model, "net")


def test_one_array_for_two_inputs_is_refused_with_their_names(mixed: tuple[Any, dict[str, Any]], rows: Any) -> None:
    with pytest.raises(BadSample, match=r"2 inputs \(city, size\)") as told:
        exporter.live(mixed[0], rows)
    assert "sample={'city': …, 'size': …}" in told.value.fix


def test_nothing_is_printed(dense: Any, rows: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Neither by Python nor by the C++ side, which writes past sys.stderr; what others say meanwhile stays."""
    from autodeploy_magic.build.export.tensorflow_quiet import quietly

    dense(rows)
    capfd.readouterr()
    for format in ("keras", "onnx", "saved_model"):
        replayed(dense, rows, format, tmp_path)
    assert capfd.readouterr() == ("", "")
    with quietly():
        sys.stdout.write("of the converter")
        os.write(2, b"of somebody else\nI0000 00:00:1795296115.739793   10525 port.cc:153] of TensorFlow\n")
    assert capfd.readouterr() == ("", "of somebody else\n")


def test_large_weights_take_another_way_to_the_same_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keras.utils.set_random_seed(6)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(40),
        ]
    )
    pictures = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")
    monkeypatch.setattr("autodeploy_magic.build.export.tensorflow_flat._LARGE_BYTES", 0)
    found = replayed(model, pictures, "onnx", tmp_path)
    assert not differing(found.live, found.found)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_missing_converter_is_a_row_with_the_command(
    dense: Any, rows: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setitem(sys.modules, "tf2onnx.convert", None)
    with pytest.raises(ExportFailed) as told:
        exporter.write(dense, "onnx", tmp_path / "model.onnx", rows, SIGNATURE)
    assert "pip install 'autodeploy_magic[tensorflow]'" in told.value.why


def test_answers_without_a_value_stay_so(rows: Any, tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.ops.log(inputs))
    found = replayed(model, rows, "onnx", tmp_path)
    assert np.isnan(found.live["predictions"]).any()
    assert not differing(found.live, found.found)


def test_half_precision(rows: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_float16")])
    found = replayed(model, rows, "keras", tmp_path)
    assert found.found["predictions"].dtype == np.float16
    assert not differing(found.live, found.found, 1e-3)


def test_tensors_are_a_sample_and_ragged_ones_are_not(dense: Any) -> None:
    import tensorflow as tf

    sample = read_sample(tf.ones((3, 4)))
    assert (sample.signature.library, sample.signature.columns[0].shape) == ("tensorflow", (4,))
    assert read_sample(tf.constant(["é", "b"])).container.tolist() == ["é", "b"]
    with pytest.raises(BadSample, match="different lengths") as told:
        exporter.live(dense, tf.ragged.constant([[1.0, 2.0], [3.0]]))
    assert "to_tensor()" in told.value.fix


def test_the_task_is_what_the_answers_are(dense: Any) -> None:
    assert exporter.task(dense) == "function"
    dense.compile("adam", "mse")
    assert exporter.task(dense) == "regression"
    dense.compile("adam", "categorical_crossentropy")
    assert exporter.task(dense) == "function"  # probabilities, and no labels


def test_layers_alone_are_no_models() -> None:
    normal = layers.Normalization()
    assert not exporter.recognises(normal)
    assert not exporter.recognises(keras.Sequential)


def test_labels_are_not_compared_with_probabilities(dense: Any, rows: Any, make: Callable[..., Built]) -> None:
    """ "accuracy 0" would be said of a good classifier."""
    version = make(dense, rows, labels=np.zeros(20, int), dry_run=True).version
    assert version.format == "onnx"
    assert "accuracy" not in version.reason
