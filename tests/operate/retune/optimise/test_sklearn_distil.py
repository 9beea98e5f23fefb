"""A big ensemble's answers are learned by a small model that stands in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, load_wine, make_regression
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from smaller import champion_of, holdings_of, made_of

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Rebuilt
from autodeploy_magic.operate.retune.optimise import sklearn_distil
from autodeploy_magic.operate.retune.optimise.sklearn_distil import Distil
from autodeploy_magic.operate.retune.optimise.sklearn_size import large
from autodeploy_magic.store import Store


@pytest.fixture(autouse=True)
def few_rows_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn_distil, "ENOUGH_ROWS", 500)


def flowers() -> tuple[pd.DataFrame, Any]:
    """Numbers with gaps, a text that says something, and text labels."""
    x, y = load_iris(return_X_y=True, as_frame=True)
    x.columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    random = np.random.default_rng(1)
    x["soil"] = np.where((y == 2) & (random.random(len(x)) < 0.8), "wet", random.choice(["dry", "stony"], len(x)))
    x.loc[::7, "sepal_width"] = np.nan
    return x, np.array(["setosa", "versicolor", "virginica"])[y]


def blobs(rows: int = 300) -> tuple[Any, Any]:
    random = np.random.default_rng(4)
    y = random.integers(0, 3, rows)
    return random.normal(size=(rows, 4)) + 2.0 * np.eye(4)[y], np.array([10, 20, 30])[y]


def test_a_forest_behind_fitted_preparation_becomes_a_small_model(tmp_path: Path, store: Store) -> None:
    x, y = flowers()
    prepare = ColumnTransformer([("soil", OneHotEncoder(handle_unknown="ignore"), ["soil"])], remainder="passthrough")
    model = make_pipeline(prepare, RandomForestClassifier(60, random_state=0)).fit(x, y)
    champion = champion_of(tmp_path, model, x)
    holdings = holdings_of(champion, x)
    titles = [offer.title for offer in Distil().offers(champion, holdings)]
    assert titles == ["60 trees taught to a small model", "60 trees taught to a tiny model"]
    made = made_of(Distil(), champion, holdings, offer=1)
    assert isinstance(made, Rebuilt)
    assert "alike by 3-fold cross-validation" in made.note
    assert "taught on 149 rows and 351 made of them" in made.note, "two of iris' rows are the same"
    assert list(made.model.classes_) == list(model.classes_)
    assert (made.model.predict(x) == model.predict(x)).mean() > 0.9
    assert large(made.model.steps[-1][1]) == "", "what it became is no large model"
    built = build(BuildRequest("demo", made.model, x), store, SubprocessRunner(), lambda _: None, dry_run=True)
    assert [(one.name, one.dtype) for one in built.version.outputs] == [
        (one.name, one.dtype) for one in champion.version.outputs
    ]
    assert any(row.format.startswith("onnx") and row.passed for row in built.candidates), built.candidates


def test_it_learns_probabilities_and_not_answers_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, size=(500, 2))
    y = random.random(500) < 0.5 + 0.3 * x[:, 0]
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(50)).fit(x, y)
    champion = champion_of(tmp_path, model, x)
    made = made_of(Distil(), champion, holdings_of(champion, x), offer=1)
    assert isinstance(made, Rebuilt)
    off = np.abs(made.model.predict_proba(x) - model.predict_proba(x)).mean()
    hard = np.abs((model.predict_proba(x) > 0.5) - model.predict_proba(x)).mean()
    assert off < 0.08 < hard / 2


def test_a_table_that_a_booster_reads_as_it_is(tmp_path: Path) -> None:
    x, y = flowers()
    x["soil"] = x["soil"].astype("category")
    model = HistGradientBoostingClassifier(max_iter=40, random_state=0).fit(x, y)
    assert large(model) == "120 trees"
    champion = champion_of(tmp_path, model, x)
    made = made_of(Distil(), champion, holdings_of(champion, x), offer=1)
    assert isinstance(made, Rebuilt)
    assert (made.model.predict(x) == model.predict(x)).mean() > 0.9
    assert made.model.predict_proba(x).shape == (150, 3)


def test_a_champion_without_probabilities_gets_a_student_without(tmp_path: Path) -> None:
    x, y = blobs(400)
    model = make_pipeline(StandardScaler(), SVC(C=0.02)).fit(x, y)
    champion = champion_of(tmp_path, model, x)
    assert [output.name for output in champion.version.outputs] == ["predictions"]
    made = made_of(Distil(), champion, holdings_of(champion, x[:150], x, y), offer=1)
    assert isinstance(made, Rebuilt)
    assert not hasattr(made.model, "predict_proba")
    assert made.model.predict(x).dtype == np.int64
    assert (made.model.predict(x) == model.predict(x)).mean() > 0.9


@pytest.mark.parametrize("targets", [1, 2])
def test_a_regression_of_one_or_two_targets(tmp_path: Path, targets: int) -> None:
    x, y = make_regression(250, 5, n_informative=3, n_targets=targets, noise=5, random_state=0)
    model = RandomForestRegressor(50, random_state=0).fit(x, y + 1000)
    champion = champion_of(tmp_path, model, x)
    made = made_of(Distil(), champion, holdings_of(champion, x))
    assert isinstance(made, Rebuilt)
    answers, wanted = made.model.predict(x), model.predict(x)
    assert answers.shape == wanted.shape
    assert 1 - ((answers - wanted) ** 2).sum() / ((wanted - wanted.mean(axis=0)) ** 2).sum() > 0.8


def test_a_class_that_no_row_has_stays_one_of_its_classes(tmp_path: Path) -> None:
    x, y = blobs()
    model = RandomForestClassifier(50, random_state=0).fit(x, y)
    champion = champion_of(tmp_path, model, x)
    some = x[model.predict_proba(x)[:, 2] < 0.005]
    made = made_of(Distil(), champion, holdings_of(champion, some), offer=1)
    assert isinstance(made, Rebuilt)
    assert list(made.model.classes_) == [10, 20, 30]
    assert (made.model.predict(some) != 30).mean() > 0.95


def test_the_same_rows_and_seed_make_the_same_student(tmp_path: Path) -> None:
    x, y = blobs()
    champion = champion_of(tmp_path, RandomForestClassifier(50, random_state=0).fit(x, y), x)
    holdings = holdings_of(champion, x[:150])
    a, b = (made_of(Distil(), champion, holdings, offer=1) for _ in range(2))
    assert isinstance(a, Rebuilt)
    assert isinstance(b, Rebuilt)
    assert (a.model.predict_proba(x) == b.model.predict_proba(x)).all()
    assert a.note == b.note


def test_made_rows_lie_between_their_two_and_have_only_values_that_there_are() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {"real": random.normal(size=80), "whole": random.integers(0, 5, 80), "text": random.choice(["a", "b"], 80)}
    )
    table.loc[::5, "real"] = np.nan
    fed = np.nan_to_num(table[["real", "whole"]].to_numpy())
    made, origins = sklearn_distil._mixed(table, fed, 400, np.random.default_rng(1))
    assert list(made.dtypes) == list(table.dtypes)
    assert set(made["whole"]) <= set(range(5))
    assert set(made["text"]) == {"a", "b"}
    one, other = table["real"].to_numpy()[origins[:, 0]], table["real"].to_numpy()[origins[:, 1]]
    known = ~np.isnan(one) & ~np.isnan(other)
    between = made["real"].to_numpy()[known]
    low, high = np.minimum(one, other)[known], np.maximum(one, other)[known]
    assert ((between >= low - 1e-9) & (between <= high + 1e-9)).all()
    assert (origins[:, 0] != origins[:, 1]).all()


def test_what_is_large_is_named_and_what_is_small_is_left(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    assert large(KNeighborsClassifier().fit(np.repeat(x, 4, axis=0), np.repeat(y, 4))) == "712 neighbours"
    assert large(DecisionTreeClassifier().fit(x, y)) == ""
    members = [
        ("a", RandomForestClassifier(30).fit(x, y)),
        ("b", make_pipeline(StandardScaler(), LogisticRegression())),
    ]
    stack = StackingClassifier(members, cv=2).fit(x, y)
    assert large(stack) == "3 models"
    wider = StackingClassifier([("a", RandomForestClassifier(60)), members[1]], cv=2).fit(x, y)
    assert large(wider) == "60 trees"
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [2, 3]}, cv=2).fit(x, y)
    champion = champion_of(tmp_path, search, x)
    with pytest.raises(NotApplicable, match="small already"):
        Distil().offers(champion, holdings_of(champion, x))
    forest = champion_of(tmp_path / "forest", RandomForestClassifier(50).fit(x, y), x)
    with pytest.raises(NotApplicable, match="10 rows to learn from"):
        Distil().offers(forest, holdings_of(forest, x[:10]))
