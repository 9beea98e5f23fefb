"""The cell's own retrain: what it is given, what it may return, and what it cannot do to what serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bettering import champion_of, holdings_of, made_of
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.errors import AutodeployError, NotApplicable, RetuneFailed, UnfittedModel
from autodeploy_magic.operate.retune.optimise.retrain import Retrain

NAMES = np.array(["setosa", "versicolor", "virginica"])


def table() -> tuple[pd.DataFrame, Any]:
    x, y = load_iris(return_X_y=True)
    return pd.DataFrame(x, columns=["sl", "sw", "pl", "pw"]), NAMES[y]


def wide(frame: pd.DataFrame) -> Any:
    return np.log1p(frame[["pl", "pw"]].to_numpy())


def test_it_is_given_what_preprocess_is_given(tmp_path: Path) -> None:
    x, y = table()

    def retrain(model: Any, X: Any, y: Any) -> Any:
        assert list(X.columns) == ["sl", "sw", "pl", "pw"]
        assert isinstance(y, np.ndarray)
        assert y.dtype.kind == "U"
        return model.fit(wide(X), y)

    model = LogisticRegression(max_iter=500).fit(wide(x[:100]), y[:100])
    champion = champion_of(tmp_path, model, x[:8], code={"preprocess": wide, "retrain": retrain})
    labels = y.tolist()
    labels[5] = None
    made = made_of(Retrain(), champion, holdings_of(champion, x, labels))
    assert made.model.classes_.tolist() == NAMES.tolist()
    assert made.note == "retrain of the cell on 149 rows; 1 rows without a label left out"
    assert champion.live().classes_.tolist() == ["setosa", "versicolor"]


def test_a_model_that_is_changed_in_place_is_the_answer(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)

    def retrain(model: Any, X: Any, y: Any) -> None:
        model.partial_fit(X, y)
        X[:] = 0.0

    champion = champion_of(tmp_path, SGDClassifier(random_state=0).fit(x, y), x[:8], code={"retrain": retrain})
    made = made_of(Retrain(), champion, holdings_of(champion, x, y)).model
    assert made.t_ > champion.live().t_


def test_another_estimator_for_the_same_task_may_be_returned(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)

    def retrain(model: Any, X: Any, y: Any) -> Any:
        return make_pipeline(StandardScaler(), model).fit(X, y)

    champion = champion_of(tmp_path, LogisticRegression().fit(x, y), x[:8], code={"retrain": retrain})
    assert len(made_of(Retrain(), champion, holdings_of(champion, x, y)).model.steps) == 2


def nothing(model: Any, X: Any, y: Any) -> None:
    return None


def numbers(model: Any, X: Any, y: Any) -> Any:
    return y


def raising(model: Any, X: Any, y: Any) -> Any:
    model.coef_[:] = np.nan
    raise KeyError("petal")


def regressor(model: Any, X: Any, y: Any) -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit(X, y)


def unfitted(model: Any, X: Any, y: Any) -> Any:
    return LogisticRegression()


@pytest.mark.parametrize(
    ("retrain", "kind", "words"),
    [
        (nothing, RetuneFailed, "returned None and left the model as it was"),
        (numbers, RetuneFailed, "retrain returned a ndarray"),
        (raising, RetuneFailed, "retrain raised KeyError: 'petal'"),
        (regressor, RetuneFailed, "retrain returned a LinearRegression"),
        (unfitted, UnfittedModel, "has not been fitted"),
    ],
)
def test_one_that_does_not_work_says_how(tmp_path: Path, retrain: Any, kind: type[AutodeployError], words: str) -> None:
    x, y = load_iris(return_X_y=True)
    champion = champion_of(tmp_path, LogisticRegression(max_iter=500).fit(x, y), x[:8], code={"retrain": retrain})
    with pytest.raises(kind, match=words) as caught:
        made_of(Retrain(), champion, holdings_of(champion, x, y))
    assert caught.value.fix
    assert champion.live().score(x, y) > 0.9


def test_without_one_or_without_labels_there_is_nothing_to_offer(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(x, y)
    plain = champion_of(tmp_path / "1", model, x[:8])
    with pytest.raises(NotApplicable, match="defines no retrain"):
        Retrain().offers(plain, holdings_of(plain, x, y))
    champion = champion_of(tmp_path / "2", model, x[:8], code={"retrain": unfitted})
    with pytest.raises(NotApplicable, match="no labelled rows"):
        Retrain().offers(champion, holdings_of(champion, x, [None] * 150))
