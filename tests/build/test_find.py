"""Which object in the cell is the model."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.build import find_model
from autodeploy_magic.errors import AmbiguousModel, NoModel, UnfittedModel


def test_the_last_expression_wins(iris: Any) -> None:
    a, b = LogisticRegression().fit(*iris), LogisticRegression().fit(*iris)
    assert find_model({"a": a, "b": b}, ["a", "b"], a) == ("a", a)


def test_the_one_fitted_estimator(iris: Any) -> None:
    X, y = iris
    names = {"X": X, "y": y, "clf": LogisticRegression().fit(X, y), "spare": LogisticRegression(), "n": 3}
    assert find_model(names, list(names))[0] == "clf"


def test_parts_of_a_pipeline_are_no_candidates(iris: Any) -> None:
    scaler, clf = StandardScaler(), LogisticRegression()
    pipe = make_pipeline(scaler, clf).fit(*iris)
    assert find_model({"scaler": scaler, "clf": clf, "pipe": pipe}, ["scaler", "clf", "pipe"])[0] == "pipe"


def test_parts_of_a_search_are_no_candidates(iris: Any) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(*iris)
    names = {"search": search, "best": search.best_estimator_}
    assert find_model(names, ["search", "best"])[0] == "search"


def test_one_object_under_two_names_is_one_model(iris: Any) -> None:
    clf = LogisticRegression().fit(*iris)
    assert find_model({"clf": clf, "model": clf}, ["clf", "model"]) == ("model", clf)


def test_several_are_named(iris: Any) -> None:
    names = {"a": LogisticRegression().fit(*iris), "b": StandardScaler().fit(iris[0])}
    with pytest.raises(AmbiguousModel, match=r"(?s)a \(LogisticRegression\), b \(StandardScaler\).*--model b"):
        find_model(names, ["a", "b"])


def test_unfitted_is_said_with_its_name() -> None:
    with pytest.raises(UnfittedModel, match=r"(?s)clf has not been fitted.*clf\.fit"):
        find_model({"clf": LogisticRegression()}, ["clf"])


def test_nothing_is_said_with_what_there_is() -> None:
    with pytest.raises(NoModel, match=r"(?s)it assigns n \(int\).*--model"):
        find_model({"n": 3}, ["n"], None)


def test_a_function_is_a_model_only_as_the_last_expression() -> None:
    def price(rows: Any) -> Any:
        return rows

    assert find_model({"price": price}, ["price"], price) == ("price", price)
    with pytest.raises(NoModel):
        find_model({"price": price}, ["price"])


def test_a_class_is_no_model() -> None:
    with pytest.raises(NoModel):
        find_model({"LogisticRegression": LogisticRegression}, ["LogisticRegression"], LogisticRegression)
