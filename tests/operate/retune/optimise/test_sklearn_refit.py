"""Fitted anew: a model whose rule has changed answers by the new one, and one whose rule stands is left in peace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bettering import champion_of, holdings_of, made_of, offers_of, rows_of
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Holdings
from autodeploy_magic.operate.retune.optimise.sklearn_refit import Refit, thawed


def stream(rows: int, *, seed: int = 0) -> tuple[Any, Any, Any]:
    """Rows of four numbers, and two rules: what is above a line by the first is below it by the second."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 4))
    score = x @ np.array([1.0, -2.0, 0.5, 0.0]) + random.normal(0, 0.3, rows)
    return x, np.where(score > 0, "up", "down"), np.where(score > 0, "down", "up")


def test_after_the_rule_has_changed_it_answers_as_a_model_of_the_new_rule(tmp_path: Path) -> None:
    x, old, new = stream(1200)
    known_x, known, _ = stream(400, seed=1)
    asked_x, _, asked = stream(4000, seed=2)
    labels = np.concatenate([old[:600], new[600:]])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(known_x, known)
    champion = champion_of(tmp_path, model, known_x[:8])
    holdings = holdings_of(champion, x, labels)
    offers = offers_of(Refit(), champion, holdings)
    assert list(offers) == ["none since", "recent", "none"]
    assert "since its errors rose (errors rose from" in offers["none since"].title
    made = made_of(Refit(), champion, holdings, offers["none since"])
    reached = (made.model.predict(asked_x) == asked).mean()
    ideal = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[600:], new[600:])
    assert (model.predict(asked_x) == asked).mean() < 0.2
    assert reached >= (ideal.predict(asked_x) == asked).mean() - 0.01
    recent = made_of(Refit(), champion, holdings, offers["recent"]).model
    plain = made_of(Refit(), champion, holdings, offers["none"]).model
    assert (recent.predict(asked_x) == asked).mean() > (plain.predict(asked_x) == asked).mean() + 0.1


@pytest.mark.parametrize("seed", range(8))
def test_without_a_change_nothing_is_offered_but_the_plain_one(tmp_path: Path, seed: int) -> None:
    x, labels, _ = stream(700, seed=10 + seed)
    champion = champion_of(tmp_path, LogisticRegression().fit(*stream(400, seed=1)[:2]), x[:8])
    assert list(offers_of(Refit(), champion, holdings_of(champion, x, labels))) == ["none"]


def test_rows_that_were_given_count_as_the_oldest(tmp_path: Path) -> None:
    """The champion knows what was given, and errs on all of the traffic: the traffic alone is offered."""
    known_x, known, _ = stream(400, seed=1)
    x, _, new = stream(300, seed=3)
    champion = champion_of(tmp_path, LogisticRegression().fit(known_x, known), x[:8])
    given, seen = rows_of(champion, known_x, known, aged=False), rows_of(champion, x, new)
    inputs = [*given.inputs, *seen.inputs]
    both = type(given)(given.signature, inputs, 700, given.labels + seen.labels, given.at_s + seen.at_s)
    holdings = Holdings(both, both, 100, "classification")
    offers = offers_of(Refit(), champion, holdings)
    assert "the 300 rows of the traffic" in offers["none since"].title
    made = made_of(Refit(), champion, holdings, offers["none since"])
    assert (made.model.predict(x) == new).mean() > 0.9


def test_a_table_with_texts_and_gaps_keeps_its_kind(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.normal(40, 9, 300), "city": random.choice(["rome", "oslo"], 300)})
    labels = (table.age / 10 + 2 * (table.city == "oslo") > 5).to_numpy()
    texts = OneHotEncoder(handle_unknown="ignore")
    steps = ColumnTransformer([("n", StandardScaler(), ["age"]), ("t", texts, ["city"])])
    model = make_pipeline(steps, LogisticRegression()).fit(table, labels)
    champion = champion_of(tmp_path, model, table[:8])
    made = made_of(Refit(), champion, holdings_of(champion, table, labels))
    assert made.model.classes_.tolist() == [False, True]
    assert made.model.classes_.dtype == model.classes_.dtype
    assert (made.model.predict(table) == labels).mean() > 0.95
    assert made.note == "fitted on 300 rows"


def test_labels_mean_the_classes_that_the_model_has(tmp_path: Path) -> None:
    """Texts of numbers, floats and capitals are the same class; a slip is left out, and said."""
    x, y = load_iris(return_X_y=True)
    champion = champion_of(tmp_path, LogisticRegression(max_iter=500).fit(x, y), x[:8])
    labels = [[str(y[i]), float(y[i]), int(y[i]), [int(y[i])]][i % 4] for i in range(150)]
    labels[3], labels[77] = "setosa?", None
    made = made_of(Refit(), champion, holdings_of(champion, x, labels))
    assert made.model.classes_.tolist() == [0, 1, 2]
    assert made.model.classes_.dtype == y.dtype
    assert made.model.score(x, y) > 0.95
    assert "2 rows left out" in made.note
    assert "'setosa?'" in made.note


def test_a_class_that_it_never_saw_is_learnt_where_there_are_enough_rows(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    names = np.array(["one", "two", "three"])[y]
    champion = champion_of(tmp_path, RandomForestClassifier(10, random_state=0).fit(x[:100], names[:100]), x[:8])
    made = made_of(Refit(), champion, holdings_of(champion, x, names))
    assert set(made.model.classes_) == {"one", "two", "three"}
    assert "learnt 'three'" in made.note


def test_a_rare_class_counts_alike_where_that_is_chosen(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(900, 3))
    y = (x[:, 0] + random.normal(0, 1, 900) > 2.2).astype(int)
    for name, model in (("l", LogisticRegression()), ("k", KNeighborsClassifier(9))):
        champion = champion_of(tmp_path / name, model.fit(x, y), x[:8])
        holdings = holdings_of(champion, x, y)
        offers = offers_of(Refit(), champion, holdings)
        assert "balanced" in offers
        made = made_of(Refit(), champion, holdings, offers["balanced"])
        found = made.model.predict(x)
        assert found[y == 1].mean() > model.predict(x)[y == 1].mean() + 0.2
        assert ("weighted" if name == "l" else "rows drawn") in made.note


def test_numbers_are_fitted_again_and_the_same_seed_makes_the_same(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    champion = champion_of(tmp_path, RandomForestRegressor(10).fit(x[:100], y[:100]), x[:8])
    holdings = holdings_of(champion, x, [float(v) if i % 50 else "n/a" for i, v in enumerate(y)])
    first, again = (made_of(Refit(), champion, holdings) for _ in range(2))
    assert np.array_equal(first.model.predict(x), again.model.predict(x))
    assert first.model.score(x, y) > champion.live().score(x, y)
    assert "9 rows left out" in first.note


def test_several_targets_stay_several(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    both = np.stack([y, -y], axis=1)
    champion = champion_of(tmp_path, LinearRegression().fit(x, both), x[:8])
    made = made_of(Refit(), champion, holdings_of(champion, x, both))
    assert made.model.predict(x).shape == (442, 2)


def test_what_was_frozen_is_fitted_with_the_rest(tmp_path: Path) -> None:
    x, old, new = stream(600)
    frozen = FrozenEstimator(LogisticRegression().fit(x, old))
    champion = champion_of(tmp_path, CalibratedClassifierCV(frozen).fit(x, old), x[:8])
    made = made_of(Refit(), champion, holdings_of(champion, x, new))
    assert (made.model.predict(x) == new).mean() > 0.9
    assert len(made.model.calibrated_classifiers_) == 1
    piped = thawed(make_pipeline(StandardScaler(), FrozenEstimator(LogisticRegression(C=3.0))))
    assert piped[-1].C == 3.0


def test_a_postprocess_that_renames_classes_is_turned_round(tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    words = ["malign", "benign"]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, 1 - y)
    champion = champion_of(tmp_path, model, x[:40], code={"postprocess": lambda found: [words[one] for one in found]})
    made = made_of(Refit(), champion, holdings_of(champion, x, [words[one] for one in y]))
    assert made.model.score(x, y) > 0.95


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ({"postprocess": lambda found: found * 2.0 + 1}, "cannot be turned round"),
        ({"predict": lambda model, x: model.predict(x) > 100}, r"predict\(model, x\) of the cell answers"),
    ],
)
def test_answers_that_are_not_the_models_own_are_no_labels_for_it(tmp_path: Path, code: Any, words: str) -> None:
    x, y = load_diabetes(return_X_y=True)
    champion = champion_of(tmp_path, LinearRegression().fit(x, y), x[:8], code=code)
    with pytest.raises(NotApplicable, match=words):
        Refit().offers(champion, holdings_of(champion, x, y))


@pytest.mark.parametrize(
    ("rows", "words"),
    [(0, "no labelled rows"), (60, "90 more labelled rows are needed .60 of 150."), (357, "each class .* 1 has 0")],
)
def test_too_few_rows_are_counted(tmp_path: Path, rows: int, words: str) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    order = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)]) if rows == 357 else np.arange(569)
    rows = 212 if rows == 357 else rows
    champion = champion_of(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match=words):
        Refit().offers(champion, holdings_of(champion, x[order][:rows], y[order][:rows]))
