"""Keras models that are trained on and made smaller; one module, for TensorFlow takes seconds to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optimising import Standing, given_of, holdings_of, rows_of

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.build.export.keras import exporter
from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.keras_graph import removable, without
from autodeploy_magic.operate.retune.optimise.keras_prune import Prune
from autodeploy_magic.operate.retune.optimise.keras_tune import FineTune
from autodeploy_magic.store import Store

keras = pytest.importorskip("keras")
layers = keras.layers


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    return tuple(train_test_split((x / 16).astype(np.float32), y, test_size=0.3, random_state=0))


@pytest.fixture(scope="module")
def mlp(digits: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(160, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(128),
            layers.ReLU(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(digits[0], digits[2], epochs=6, verbose=0)
    return model


def right(model: Any, x: Any, y: Any) -> float:
    return float((model.predict(x, verbose=0).argmax(1) == y).mean())


def test_a_model_learns_another_rule(digits: Any, mlp: Any, tmp_path: Path) -> None:
    x, held, y, truth = digits
    rule = (np.arange(10) + 3) % 10
    champion, holdings = Standing(mlp, "keras"), holdings_of(rows_of(x[:800], rule[y[:800]]))
    offers = FineTune().offers(champion, holdings)
    assert [offer.settings["layers"] for offer in offers] == ["all", "all", "last"]
    made = FineTune().make(champion, given_of(holdings, tmp_path, layers="last", pace=0.05))
    assert right(mlp, held, rule[truth]) < 0.1
    assert right(made.model, held, rule[truth]) > 0.9
    assert np.array_equal(made.model.layers[0].kernel, mlp.layers[0].kernel)
    assert all(layer.trainable for layer in made.model.layers)
    assert exporter.task(made.model) == "function"


def test_a_model_of_values_stays_one(tmp_path: Path) -> None:
    from sklearn.datasets import load_diabetes

    x = load_diabetes().data
    given = keras.Input((10,))
    model = keras.Model(given, layers.Dense(1)(given))
    now = (x @ np.arange(10.0)) + 2
    holdings = holdings_of(rows_of(x.astype(np.float32), now), task="regression")
    made = FineTune().make(Standing(model, "keras"), given_of(holdings, tmp_path, layers="all", pace=0.05))
    found = made.model.predict(x, verbose=0)[:, 0]
    assert np.abs(found - now).mean() < np.abs(model.predict(x, verbose=0)[:, 0] - now).mean() / 2
    assert exporter.task(made.model) == "regression"


def test_a_pruned_model_answers_as_well_and_is_built(digits: Any, mlp: Any, store: Store, tmp_path: Path) -> None:
    x, held, y, truth = digits
    champion, holdings = Standing(mlp, "keras"), holdings_of(rows_of(x[:500], y[:500]))
    half, quarter = Prune().offers(champion, holdings)
    assert (half.settings, quarter.settings) == ({"share": 0.5}, {"share": 0.75})
    made = Prune().make(champion, given_of(holdings, tmp_path, **half.settings))
    assert [layer.units for layer in made.model.layers if hasattr(layer, "units")] == [80, 64, 10]
    assert right(made.model, held, truth) > right(mlp, held, truth) - 0.05
    assert "weights" in made.note
    request = BuildRequest("demo", made.model, held[:40])
    version = build(request, store, SubprocessRunner(), lambda progress: None, dry_run=True).version
    assert version.format == "onnx"


def test_units_that_nobody_hears_can_go_without_a_change() -> None:
    keras.utils.set_random_seed(1)
    given = keras.Input((8, 8, 1))
    x = layers.Conv2D(6, 3, activation="relu")(given)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(4, 3)(layers.MaxPooling2D()(x))
    first = layers.Dense(12, activation="relu")(layers.Flatten()(x))
    inner = layers.Dense(20, activation="gelu")(first)
    model = keras.Model(given, layers.Dense(3)(layers.add([first, layers.Dense(12)(inner)])))
    found = removable(model)
    assert [one.units for one in found] == [6, 4, 20]
    assert found[1].each == 1
    keeps = {one: list(range(0, one.units, 2)) for one in found}
    smaller = without(model, keeps)
    for one, keep in keeps.items():
        reader = model.get_layer(one.reader)
        kernel = reader.kernel.numpy()
        kernel[..., np.setdiff1d(np.arange(kernel.shape[-2]), one.inputs(keep)), :] = 0
        reader.kernel.assign(kernel)
    rows = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype(np.float32)
    assert np.allclose(model.predict(rows, verbose=0), smaller.predict(rows, verbose=0), atol=1e-5)


class Own(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer = layers.Dense(10)

    def call(self, x: Any) -> Any:
        return self.layer(x)


class OwnTraining(Own):
    def train_step(self, data: Any) -> Any:
        return {}


def test_what_is_not_known_is_refused_with_the_reason(digits: Any, mlp: Any) -> None:
    x, _, y, _ = digits
    holdings = holdings_of(rows_of(x[:100], y[:100]))
    own, trained = Own(), OwnTraining()
    own(x[:2])
    trained(x[:2])
    with pytest.raises(NotApplicable, match="class of its own"):
        removable(own)
    standing = Standing(trained, "keras")
    standing.live = lambda: trained  # type: ignore[method-assign]
    with pytest.raises(NotApplicable, match="training of its own"):
        FineTune().offers(standing, holdings)
    with pytest.raises(NotApplicable, match="no Keras model"):
        Prune().offers(Standing(mlp, "torch"), holdings)
    with pytest.raises(NotApplicable, match="do not say"):
        FineTune().offers(Standing(mlp, "keras"), holdings_of(rows_of(x[:100], ["a"] * 100)))
