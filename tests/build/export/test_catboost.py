"""CatBoost: what its file and its ONNX keep, and what they cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
from boosting import keep, write
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.errors import ExportFailed, UnfittedModel

X, Y = load_breast_cancer(return_X_y=True)
FLOWERS, KINDS = load_iris(return_X_y=True)
SICK, WORSE = load_diabetes(return_X_y=True)
QUICK: dict[str, Any] = {
    "iterations": 15,
    "depth": 4,
    "verbose": False,
    "allow_writing_files": False,
    "thread_count": 1,
    "random_seed": 0,
}
NAMES = np.array(["setosa", "versicolor", "virginica"])


def missing(x: Any) -> Any:
    holed = x.copy()
    holed[::7, ::2] = np.nan
    return holed


MODELS: dict[str, Callable[[], tuple[Any, Any, bool]]] = {
    "two classes": lambda: (catboost.CatBoostClassifier(**QUICK).fit(X, Y), X, True),
    "text labels": lambda: (catboost.CatBoostClassifier(**QUICK).fit(FLOWERS, NAMES[KINDS]), FLOWERS, True),
    "missing values": lambda: (catboost.CatBoostClassifier(**QUICK).fit(missing(X), Y), missing(X), True),
    "numbers": lambda: (catboost.CatBoostRegressor(**QUICK).fit(SICK, WORSE), SICK, True),
    "true and false": lambda: (catboost.CatBoostClassifier(**QUICK).fit(X, Y == 1), X, False),
    "counts": lambda: (catboost.CatBoostRegressor(loss_function="Poisson", **QUICK).fit(SICK, WORSE), SICK, False),
    "two numbers": lambda: (
        catboost.CatBoostRegressor(loss_function="MultiRMSE", **QUICK).fit(SICK, np.c_[WORSE, -WORSE]),
        SICK,
        False,
    ),
    "raw values": lambda: (catboost.CatBoost({"loss_function": "Logloss", **QUICK}).fit(X, Y), X, False),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_answers_as_it_did(kind: str, tmp_path: Path) -> None:
    """In its own file always, and in ONNX where that can say it: the comparison or the export tells the others."""
    model, x, exported = MODELS[kind]()
    (tmp_path / "own").mkdir()
    own = keep(model, x, "catboost", tmp_path / "own")
    assert own.comparison.passed, own.comparison.words
    assert own.comparison.max_difference in (0.0, None)
    answer = own.served.run(own.served.decode(x[:3].tolist()), ["predictions"])["predictions"]
    assert answer.dtype == model.predict(x[:3]).dtype
    (tmp_path / "onnx").mkdir()
    with contextlib.suppress(ExportFailed):
        assert keep(model, x, "onnx", tmp_path / "onnx").comparison.passed is exported
        return
    assert not exported


def test_columns_of_categories_and_of_text_travel(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "size": random.normal(size=200),
            "city": random.choice(["rome", "oslo", "nice"], 200),
            "floor": random.integers(0, 3, 200),
            "said": random.choice(["all was good", "it was bad", "never again", "good enough"], 200),
        }
    )
    y = (rows["said"].str.contains("good")) ^ (rows["city"] == "rome")
    model = catboost.CatBoostClassifier(cat_features=["city", "floor"], text_features=["said"], **QUICK).fit(rows, y)
    kept = keep(model, rows, "catboost", tmp_path)
    assert kept.comparison.passed
    new = kept.served.predict([{"size": 1.0, "city": "paris", "floor": 7, "said": "what else"}])  # it knows what to do
    assert new["predictions"][0] in (True, False, "True", "False")
    with pytest.raises(ExportFailed) as error:
        write(model, rows, "onnx", tmp_path / "model.onnx")
    assert "column 'city'" in error.value.why


def test_its_digest_is_of_what_it_learnt_and_not_of_when_and_where(tmp_path: Path) -> None:
    digests = []
    for place, depth in (("a", 4), ("b", 4), ("a", 3)):
        options = {**QUICK, "allow_writing_files": True, "depth": depth, "train_dir": str(tmp_path / place)}
        model = catboost.CatBoostRegressor(**options).fit(SICK, WORSE)
        exporter = exporter_of(model)
        assert exporter is not None
        digests.append(exporter.fingerprint(model))
        assert exporter.fingerprint(model) == digests[-1]
    assert digests[0] == digests[1] != digests[2]


def test_what_a_file_cannot_hold_is_pickled_and_says_why(tmp_path: Path) -> None:
    class Squared:
        def calc_ders_range(self, found: Any, truth: Any, weights: Any) -> list[tuple[float, float]]:
            return [(truth[i] - found[i], -1.0) for i in range(len(found))]

    model = catboost.CatBoostRegressor(loss_function=Squared(), eval_metric="RMSE", **QUICK).fit(SICK, WORSE)
    with pytest.raises(ExportFailed) as error:
        write(model, SICK, "catboost", tmp_path / "catboost")
    assert "its loss_function is a Squared" in error.value.why
    (tmp_path / "native").mkdir()
    assert keep(model, SICK, "native", tmp_path / "native").comparison.passed


@pytest.mark.parametrize("labels", [Y, np.array(["no", "yes"])[Y]], ids=["numbers", "text"])
def test_a_pipeline_that_ends_in_one_is_exported(labels: Any, tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), catboost.CatBoostClassifier(**QUICK)).fit(X, labels)
    kept = keep(model, X, "onnx", tmp_path)
    assert kept.captured.exporter.name == "sklearn"
    assert kept.comparison.passed, kept.comparison.words


def test_one_that_was_never_trained_says_so() -> None:
    model = catboost.CatBoostClassifier()
    exporter = exporter_of(model)
    assert exporter is not None
    with pytest.raises(UnfittedModel, match="has not been fitted"):
        exporter.check_fitted(model, "model")
