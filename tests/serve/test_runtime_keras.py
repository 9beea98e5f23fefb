"""The runners of Keras and TensorFlow: compiled once for any batch, on the backend of the notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replayed import replayed

from autodeploy_magic.errors import StartFailed

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")


@pytest.fixture
def dense() -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.fixture
def rows() -> Any:
    return np.random.default_rng(0).normal(size=(50, 4)).astype("float32")


def test_any_number_of_rows_is_one_trace(dense: Any, rows: Any, tmp_path: Path) -> None:
    runner = replayed(dense, rows, "keras", tmp_path).runner
    for count in range(51):
        assert runner.run(rows[:count], ["predictions"])["predictions"].shape == (count, 3)
    assert runner._compiled.traces == 1


def test_a_saved_model_takes_any_number_of_rows_too(dense: Any, rows: Any, tmp_path: Path) -> None:
    runner = replayed(dense, rows, "saved_model", tmp_path).runner
    for count in range(51):
        assert runner.run(rows[:count], ["predictions"])["predictions"].shape == (count, 3)


def test_rows_of_any_length_are_two(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.GlobalAveragePooling1D()])
    runner = replayed(model, np.ones((4, 3, 2), "float32"), "keras", tmp_path).runner
    for length in range(1, 30):
        runner.run(np.ones((2, length, 2), "float32"), ["predictions"])
    assert runner._compiled.traces == 2


def test_several_threads_share_it(dense: Any, rows: Any, tmp_path: Path) -> None:
    runner = replayed(dense, rows, "keras", tmp_path).runner
    expected = np.asarray(dense(rows))
    wrong: list[int] = []

    def ask() -> None:
        for count in range(1, 50):
            found = runner.run(rows[:count], ["predictions"])["predictions"]
            if not np.allclose(found, expected[:count], atol=1e-5):
                wrong.append(count)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert runner._compiled.traces == 1


def test_only_the_outputs_that_are_asked_for(rows: Any, tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(2)(inputs)])
    for format in ("keras", "saved_model", "onnx"):
        runner = replayed(model, rows, format, tmp_path).runner
        found = runner.run(rows[:3], ["output_2"])
        assert {name: values.shape for name, values in found.items()} == {"output_2": (3, 2)}


def test_another_backend_than_the_notebooks_is_said(dense: Any, rows: Any, tmp_path: Path) -> None:
    from autodeploy_magic.serve.runtime.keras import KerasRunner

    found = replayed(dense, rows, "keras", tmp_path)
    about = json.loads((found.path / "about.json").read_bytes())
    assert about["backend"] == "tensorflow"
    (found.path / "about.json").write_text(json.dumps(about | {"backend": "torch"}))
    runner = object.__new__(KerasRunner)
    with pytest.raises(StartFailed, match="tensorflow in this process, and the model was made on torch"):
        runner.load(found.path, Any)


def test_the_backend_is_chosen_before_keras_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    from autodeploy_magic.serve.runtime.keras import _choose

    monkeypatch.setenv("KERAS_BACKEND", "jax")
    _choose("torch")
    assert os.environ["KERAS_BACKEND"] == "jax"  # it is imported here, and has what it has
    monkeypatch.delitem(sys.modules, "keras")
    _choose("torch")
    assert os.environ["KERAS_BACKEND"] == "torch"


def test_a_worker_says_nothing_of_tensorflows_and_has_its_threads() -> None:
    code = (
        "from autodeploy_magic.serve.runtime.tensorflow import prepare\n"
        "threading = prepare(2).config.threading\n"
        "assert (threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()) == (2, 1)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_threads_that_cannot_be_set_any_more_are_no_failure() -> None:
    from autodeploy_magic.serve.runtime.tensorflow import prepare

    tf.constant(1.0) + 1.0
    assert prepare(3) is tf
