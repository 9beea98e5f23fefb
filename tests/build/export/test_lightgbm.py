"""LightGBM: what its file and its ONNX keep, and what they cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from boosting import keep, write
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.errors import ExportFailed, InvalidInputs, UnfittedModel

X, Y = load_breast_cancer(return_X_y=True)
FLOWERS, KINDS = load_iris(return_X_y=True)
SICK, WORSE = load_diabetes(return_X_y=True)
QUICK = {"n_estimators": 15, "num_leaves": 7, "n_jobs": 1, "verbose": -1, "random_state": 0}
NAMES = np.array(["setosa", "versicolor", "virginica"])


def trained(objective: str, x: Any, y: Any, **options: Any) -> lightgbm.Booster:
    settings = {"objective": objective, "verbose": -1, "num_threads": 1, **options}
    return lightgbm.train(settings, lightgbm.Dataset(x, y), 10)


def missing(x: Any) -> Any:
    holed = x.copy()
    holed[::7, ::2] = np.nan
    return holed


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "two classes": lambda: (lightgbm.LGBMClassifier(**QUICK).fit(X, Y), X),
    "true and false": lambda: (lightgbm.LGBMClassifier(**QUICK).fit(X, Y == 1), X),
    "text labels": lambda: (lightgbm.LGBMClassifier(**QUICK).fit(FLOWERS, NAMES[KINDS]), FLOWERS),
    "weighed labels": lambda: (
        lightgbm.LGBMClassifier(class_weight={0: 1, 1: 2, 2: 3}, **QUICK).fit(FLOWERS, KINDS),
        FLOWERS,
    ),
    "numbers": lambda: (lightgbm.LGBMRegressor(**QUICK).fit(SICK, WORSE), SICK),
    "counts": lambda: (lightgbm.LGBMRegressor(objective="poisson", **QUICK).fit(SICK, WORSE), SICK),
    "missing values": lambda: (lightgbm.LGBMClassifier(**QUICK).fit(missing(X), Y), missing(X)),
    "a ranking": lambda: (lightgbm.LGBMRanker(**QUICK).fit(SICK, (WORSE > 150).astype(int), group=[17] * 26), SICK),
    "a Booster of two classes": lambda: (trained("binary", X, Y), X),
    "a Booster of three": lambda: (trained("multiclass", FLOWERS, KINDS, num_class=3), FLOWERS),
    "a Booster of numbers": lambda: (trained("regression", SICK, WORSE), SICK),
}


@pytest.mark.parametrize("format", ["lightgbm", "onnx"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_answers_as_it_did(kind: str, format: str, tmp_path: Path) -> None:
    model, x = MODELS[kind]()
    kept = keep(model, x, format, tmp_path)
    assert kept.comparison.passed, kept.comparison.words
    assert kept.comparison.agreement == 1.0
    if format == "lightgbm":
        assert kept.comparison.max_difference in (0.0, None)
        answer = kept.served.run(kept.served.decode(x[:3].tolist()), ["predictions"])["predictions"]
        assert answer.dtype == model.predict(x[:3]).dtype


@pytest.mark.parametrize("format", ["lightgbm", "onnx"])
def test_one_that_stopped_early_answers_with_its_best_trees(format: str, tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=80, learning_rate=0.5, n_jobs=1, verbose=-1)
    stop = lightgbm.early_stopping(10, verbose=False)
    model.fit(X[:300], Y[:300], eval_set=[(X[300:], Y[300:])], callbacks=[stop])
    assert 0 < model.best_iteration_ < 70
    for name, one in (("wrapper", model), ("booster", model.booster_)):
        (tmp_path / name).mkdir()
        kept = keep(one, X, format, tmp_path / name)
        assert kept.comparison.passed, f"{name}: {kept.comparison.words}"


def test_categories_travel_and_one_that_is_not_known_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"size": random.normal(size=300), "city": random.choice(["rome", "oslo", "nice"], 300)})
    rows["city"] = rows["city"].astype("category")
    rows.loc[::9, "size"] = np.nan
    model = lightgbm.LGBMRegressor(**QUICK).fit(rows, (rows["city"] == "rome") * 3.0 + random.normal(size=300))
    kept = keep(model, rows, "lightgbm", tmp_path)
    assert kept.comparison.passed
    assert len(set(kept.found["predictions"])) > 2
    with pytest.raises(InvalidInputs, match="city is not one of the categories"):
        kept.served.predict([{"size": 1.0, "city": "paris"}])
    with pytest.raises(ExportFailed) as error:
        write(model, rows, "onnx", tmp_path / "model.onnx")
    assert "'city' is of dtype category" in error.value.why


def test_what_no_converter_does_says_so(tmp_path: Path) -> None:
    bagged = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    for words, options in {"boosting_type='rf'": bagged, "linear leaves": {"linear_tree": True}}.items():
        model = lightgbm.LGBMRegressor(**QUICK, **options).fit(SICK, WORSE)
        folder = tmp_path / next(iter(options))
        folder.mkdir()
        assert keep(model, SICK, "lightgbm", folder).comparison.passed
        with pytest.raises(ExportFailed) as error:
            write(model, SICK, "onnx", folder / "model.onnx")
        assert words in error.value.why


def test_what_a_file_cannot_hold_is_pickled_and_says_why(tmp_path: Path) -> None:
    def squared(truth: Any, found: Any) -> tuple[Any, Any]:
        return found - truth, np.ones_like(found)

    class Mine(lightgbm.LGBMRegressor):
        """Of the notebook."""

    for words, model in {
        "its objective is a Python function": lightgbm.LGBMRegressor(objective=squared, **QUICK),
        "its class Mine": Mine(**QUICK),
    }.items():
        model.fit(SICK, WORSE)
        with pytest.raises(ExportFailed) as error:
            write(model, SICK, "lightgbm", tmp_path / "lightgbm")
        assert words in error.value.why
    (tmp_path / "native").mkdir()
    assert keep(model, SICK, "native", tmp_path / "native").comparison.passed


def test_inside_scikit_learn_it_is_exported_too(tmp_path: Path) -> None:
    booster = lightgbm.LGBMClassifier(**QUICK)
    linear = LogisticRegression(max_iter=2000)
    scaled = StandardScaler().fit_transform(X)
    for model in (
        make_pipeline(StandardScaler(), booster),
        VotingClassifier([("trees", booster), ("line", linear)], voting="soft"),
    ):
        folder = tmp_path / type(model).__name__
        folder.mkdir()
        kept = keep(model.fit(scaled, Y), scaled, "onnx", folder)
        assert kept.captured.exporter.name == "sklearn"
        assert kept.comparison.passed, f"{type(model).__name__}: {kept.comparison.words}"


def test_one_that_was_never_trained_says_so() -> None:
    exporter = exporter_of(lightgbm.LGBMClassifier())
    assert exporter is not None
    assert exporter.name == "lightgbm"
    with pytest.raises(UnfittedModel, match="has not been fitted"):
        exporter.check_fitted(lightgbm.LGBMClassifier(), "model")
