"""Neurons are cut out of perceptrons, and what is left is tuned; the champion keeps all of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, make_regression
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from smaller import champion_of, holdings_of, made_of

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Rebuilt
from autodeploy_magic.operate.retune.optimise.sklearn_prune import PruneNeurons, pruned
from autodeploy_magic.store import Store

NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any, Any]:
    """Rows, text labels, and a fitted pipeline that ends in a network of two hidden layers."""
    x, y = load_digits(return_X_y=True)
    network = MLPClassifier((64, 32), max_iter=40, random_state=0)
    return x, NAMES[y], make_pipeline(StandardScaler(), network).fit(x[:1200], NAMES[y[:1200]])


def test_three_quarters_of_the_neurons_are_cut_and_the_rest_is_tuned_on_labels(tmp_path: Path, digits: Any) -> None:
    x, y, model = digits
    champion = champion_of(tmp_path, model, x)
    before = (tmp_path / "model.pkl").read_bytes()
    holdings = holdings_of(champion, x[:200], x[:1200], y[:1200])
    assert [offer.title for offer in PruneNeurons().offers(champion, holdings)] == [
        "50% of 64+32 neurons cut",
        "75% of 64+32 neurons cut",
    ]
    made = made_of(PruneNeurons(), champion, holdings, offer=1)
    assert isinstance(made, Rebuilt)
    assert made.note == "64+32 → 16+8 neurons; 100 epochs on 1200 labelled rows"
    network = made.model.steps[-1][1]
    assert [one.shape for one in network.coefs_] == [(64, 16), (16, 8), (8, 10)]
    assert list(made.model.classes_) == list(model.classes_)
    untuned = pruned(model.steps[-1][1], model[:-1].transform(x[:200]), 0.75)
    bare = untuned.score(model[:-1].transform(x[1200:]), y[1200:])
    tuned = made.model.score(x[1200:], y[1200:])
    assert tuned > model.score(x[1200:], y[1200:]) - 0.06
    assert tuned > bare + 0.1
    assert (tmp_path / "model.pkl").read_bytes() == before
    assert model.steps[-1][1].coefs_[0].shape == (64, 64)


def test_it_is_built_like_the_champion(tmp_path: Path, store: Store, digits: Any) -> None:
    x, _, model = digits
    champion = champion_of(tmp_path, model, x)
    made = made_of(PruneNeurons(), champion, holdings_of(champion, x[:300]))
    assert isinstance(made, Rebuilt)
    assert "the champion's own answers to 300 rows, for want of labels" in made.note
    built = build(BuildRequest("demo", made.model, x[:100]), store, SubprocessRunner(), lambda _: None, dry_run=True)
    assert built.version.format == "onnx"
    assert [(one.name, one.dtype) for one in built.version.outputs] == [
        (one.name, one.dtype) for one in champion.version.outputs
    ]


def test_two_classes_texts_and_early_stopping(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    table = pd.DataFrame({"a": random.normal(size=400), "b": random.choice(["x", "y", "z"], 400)})
    label = (table.a + 2 * (table.b == "x") > 0.5).to_numpy()
    prepare = ColumnTransformer([("b", OneHotEncoder(), ["b"])], remainder="passthrough", sparse_threshold=1.0)
    network = MLPClassifier((20,), early_stopping=True, max_iter=200, learning_rate_init=0.01, random_state=0)
    model = make_pipeline(prepare, network).fit(table, label)
    champion = champion_of(tmp_path, model, table)
    told = ["true" if one else "false" for one in label[:300]]
    made = made_of(PruneNeurons(), champion, holdings_of(champion, table[:100], table[:300], told))
    assert isinstance(made, Rebuilt)
    assert "300 labelled rows" in made.note
    assert made.model.score(table[300:], label[300:]) > model.score(table[300:], label[300:]) - 0.05
    assert made.model.predict(table).dtype == bool
    small = made.model.steps[-1][1]
    assert small.early_stopping is True, "its settings are those it had"
    assert small.hidden_layer_sizes == (10,)


@pytest.mark.parametrize("targets", [1, 2])
def test_a_regression_by_another_solver(tmp_path: Path, targets: int) -> None:
    x, y = make_regression(300, 6, n_targets=targets, noise=1, random_state=0)
    y = y / 100
    network = MLPRegressor(hidden_layer_sizes=(24,), solver="lbfgs", max_iter=200, random_state=0)
    model = make_pipeline(StandardScaler(), network).fit(x[:200], y[:200])
    champion = champion_of(tmp_path, model, x)
    made = made_of(PruneNeurons(), champion, holdings_of(champion, x[:200]))
    assert isinstance(made, Rebuilt)
    assert made.model.predict(x).shape == y.shape
    assert made.model.score(x[200:], y[200:]) > 0.8
    assert made.model.steps[-1][1].solver == "lbfgs"


def test_what_varies_little_goes_and_its_mean_stays() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    network = MLPRegressor(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        network.fit(x, x[:, 0])
    network.coefs_[0][:, 2:] = 0.0  # two neurons that say the same to every row
    network.intercepts_[0][2:] = 5.0
    small = pruned(network, x, 0.5)
    assert small.coefs_[0].shape == (3, 2)
    np.testing.assert_allclose(small.predict(x), network.predict(x), atol=1e-9)


def test_the_same_seed_makes_the_same_network(tmp_path: Path, digits: Any) -> None:
    x, y, model = digits
    champion = champion_of(tmp_path, model, x)
    holdings = holdings_of(champion, x[:100], x[:300], y[:300])
    a, b = (made_of(PruneNeurons(), champion, holdings) for _ in range(2))
    assert isinstance(a, Rebuilt)
    assert isinstance(b, Rebuilt)
    assert (a.model.predict_proba(x) == b.model.predict_proba(x)).all()


def test_it_says_why_it_has_nothing(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    plain = champion_of(tmp_path / "plain", LogisticRegression(max_iter=50).fit(x / 16, y), x)
    with pytest.raises(NotApplicable, match="no multi-layer perceptron"):
        PruneNeurons().offers(plain, holdings_of(plain, x[:100]))
    network = MLPClassifier((8,), solver="lbfgs", max_iter=20, random_state=0)
    with pytest.warns(match="lbfgs failed to converge|Maximum"):
        network.fit(x, y)
    tiny = champion_of(tmp_path / "tiny", network, x)
    with pytest.raises(NotApplicable, match="8 hidden neurons only"):
        PruneNeurons().offers(tiny, holdings_of(tiny, x[:100]))
