"""Trained further: what the model knows stays, and what new rows say is added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bettering import champion_of, holdings_of, made_of, offers_of
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.sklearn_further import Further


def halves() -> tuple[Any, Any, Any, Any]:
    """Irises by name; those of the second half are a centimetre larger than the model was told."""
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    order = np.random.default_rng(0).permutation(150)
    first, second = order[:75], order[75:]
    return x[first], names[first], x[second] + 1.5, names[second]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (SGDClassifier(loss="log_loss", random_state=0), ["partial_fit 1 since", "partial_fit 5 since"]),
        (make_pipeline(StandardScaler(), GaussianNB()), ["partial_fit 1 since"]),
        (
            make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=150, early_stopping=True, random_state=0)),
            ["partial_fit 1 since", "partial_fit 5 since"],
        ),
        (RandomForestClassifier(20, max_depth=4, random_state=0), ["trees 10 10 since", "trees 10 0 since"]),
        (BaggingClassifier(n_estimators=20, random_state=0), ["trees 10 10 since", "trees 10 0 since"]),
        (GradientBoostingClassifier(n_estimators=20, random_state=0), ["trees 10 0 since"]),
        (LogisticRegression(max_iter=500), ["iterations 20 since"]),
    ],
    ids=lambda value: "" if isinstance(value, list) else type(getattr(value, "steps", [("", value)])[-1][1]).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_it_errs_less_on_what_is_new(tmp_path: Path, model: Any, expected: list[str]) -> None:
    known_x, known, x, new = halves()
    model.fit(known_x, known)
    champion = champion_of(tmp_path, model, known_x[:8])
    holdings = holdings_of(champion, np.repeat(x, 4, axis=0), np.repeat(new, 4))
    offers = offers_of(Further(), champion, holdings)
    assert list(offers) == expected
    parameters = model.get_params(deep=False)
    for offer in offers.values():
        made = made_of(Further(), champion, holdings, offer).model
        assert type(made) is type(model)
        assert made.classes_.tolist() == model.classes_.tolist()
        assert made.get_params(deep=False).keys() == parameters.keys()
        errors = [
            -np.log(np.clip(one.predict_proba(x)[np.arange(75), np.searchsorted(model.classes_, new)], 1e-6, 1)).mean()
            for one in (model, made)
        ]
        assert errors[1] < errors[0], offer.title


def test_half_of_a_forest_is_grown_anew_and_it_is_no_larger(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = ExtraTreesRegressor(30, random_state=0, n_jobs=2).fit(x[:200], y[:200])
    champion = champion_of(tmp_path, model, x[:8])
    holdings = holdings_of(champion, x[200:], y[200:])
    made = made_of(Further(), champion, holdings, offers_of(Further(), champion, holdings)["trees 15 15 since"]).model
    assert len(made.estimators_) == made.n_estimators == 30
    assert not made.warm_start
    assert made.n_jobs == 2
    old = [tree.tree_.node_count for tree in model.estimators_[15:]]
    assert [tree.tree_.node_count for tree in made.estimators_[:15]] == old
    assert made.score(x[200:], y[200:]) > model.score(x[200:], y[200:])


def test_a_class_that_it_never_saw_is_left_out_and_said(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    model = SGDClassifier(random_state=0).fit(x[:100], y[:100])
    champion = champion_of(tmp_path, model, x[:8])
    made = made_of(Further(), champion, holdings_of(champion, x, y))
    assert made.model.classes_.tolist() == [0, 1]
    assert "1 pass on 100 rows; 50 rows left out: labels the model cannot take ('2')" in made.note


def test_a_forest_that_would_forget_a_class_is_not_trained(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    champion = champion_of(tmp_path, RandomForestClassifier(5, random_state=0).fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match="no row has the class 2, which it would forget"):
        Further().offers(champion, holdings_of(champion, x[:100], y[:100]))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (HistGradientBoostingClassifier(max_iter=5), "for the very rows it was fitted on"),
        (KNeighborsClassifier(), "a KNeighborsClassifier cannot be trained further"),
        (MLPClassifier((4,), solver="lbfgs", max_iter=20), "a MLPClassifier cannot be trained further"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_those_that_cannot_say_why(tmp_path: Path, model: Any, words: str) -> None:
    x, y = load_iris(return_X_y=True)
    champion = champion_of(tmp_path, model.fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match=words):
        Further().offers(champion, holdings_of(champion, x, y))


def test_too_few_rows_are_counted(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    champion = champion_of(tmp_path, SGDRegressor().fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match="10 more labelled rows are needed"):
        Further().offers(champion, holdings_of(champion, x[:20], y[:20]))
