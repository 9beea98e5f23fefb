"""Hyper-parameters: a model that was set badly is set better, and one that was set well is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from bettering import champion_of, holdings_of, made_of
from sklearn import ensemble, kernel_ridge, linear_model, naive_bayes, neighbors, neural_network, svm, tree
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given
from autodeploy_magic.operate.retune.optimise.sklearn_search import Search
from autodeploy_magic.operate.retune.optimise.sklearn_spaces import SPACES, space_of


class Middle:
    """A trial that suggests what lies in the middle, or comes first."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return (low * high) ** 0.5 if log else (low + high) / 2

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return (low + high) // 2

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return choices[-1]


def searched(champion: Any, holdings: Any, trials: int) -> Any:
    (offer,) = Search().offers(champion, holdings)
    return Search().make(
        champion, Given(holdings, {**offer.settings, "trials": trials}, champion.folder / "made", 3, 60.0, 1)
    )


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.filterwarnings("ignore")
def test_every_space_is_of_parameters_that_its_estimator_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)  # CatBoost leaves its logs where it is
    modules = (ensemble, kernel_ridge, linear_model, naive_bayes, neighbors, neural_network, svm, tree)
    kinds = {key: kind for module in (*modules, xgboost, lightgbm, catboost) for key, kind in vars(module).items()}
    few = {"n_estimators": 3} & kinds[name]().get_params().keys()
    model = kinds[name](**({"n_estimators": 3} if few else {}))
    space = space_of(model)
    assert space is not None
    found = space(Middle(), model)
    assert found
    model.set_params(**found)
    x, y = load_iris(return_X_y=True)
    assert model.fit(x, y).predict(x).shape[0] == 150


def test_parameters_that_were_off_are_found(tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    names = np.array(["malign", "benign"])[y]
    model = make_pipeline(StandardScaler(), SVC(gamma=3.0)).fit(x[:300], names[:300])
    champion = champion_of(tmp_path, model, x[:8])
    made = searched(champion, holdings_of(champion, x[:400], names[:400]), 10)
    assert made.model.score(x[400:], names[400:]) > model.score(x[400:], names[400:]) + 0.1
    assert set(made.changed) == {"C", "gamma"}
    assert made.model[-1].gamma == made.changed["gamma"]
    assert made.note.startswith("best of 10 trials on 400 rows: accuracy 0.9")


def test_the_error_of_numbers_falls_and_the_seed_says_which(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    champion = champion_of(tmp_path, DecisionTreeRegressor(random_state=0).fit(x[:200], y[:200]), x[:8])
    holdings = holdings_of(champion, x, y)
    first, again = (searched(champion, holdings, 8) for _ in range(2))
    assert first.changed == again.changed
    assert "root mean square error 62" in first.note


def test_what_is_set_well_is_kept(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4))
    y = x @ np.array([3.0, -1.0, 2.0, 0.5]) + random.normal(0, 1.0, 300)
    champion = champion_of(tmp_path, Ridge(alpha=1.0).fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match=r"nothing found better than today's parameters in 8 trials \(root mean"):
        searched(champion, holdings_of(champion, x, y), 8)


def test_no_time_means_no_trial_but_todays(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    x, y = np.repeat(x, 2, axis=0), np.repeat(y, 2)
    champion = champion_of(tmp_path, RandomForestClassifier(3, random_state=0).fit(x, y), x[:8])
    holdings = holdings_of(champion, x, y)
    with pytest.raises(NotApplicable, match="in 1 trials"):
        made_of(Search(), champion, holdings, within_s=0.0)


def test_without_a_space_or_rows_it_says_so(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    logistic = LogisticRegression(max_iter=300)
    champion = champion_of(tmp_path / "few", clone(logistic).fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match="50 more labelled rows are needed"):
        Search().offers(champion, holdings_of(champion, x, y))
    stacked = StackingClassifier([("a", clone(logistic))], cv=2).fit(x, y)
    champion = champion_of(tmp_path / "stacked", stacked, x[:8])
    with pytest.raises(NotApplicable, match="hyper-parameters of a StackingClassifier"):
        Search().offers(champion, holdings_of(champion, np.repeat(x, 2, axis=0), np.repeat(y, 2)))
