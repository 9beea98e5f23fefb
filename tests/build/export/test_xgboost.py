"""XGBoost: what its file and its ONNX keep, and what they cannot."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from boosting import keep, write
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.build import BuildRequest, Built
from autodeploy_magic.build.capture import capture
from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.errors import BadSample, ExportFailed, InvalidInputs, UnfittedModel

X, Y = load_breast_cancer(return_X_y=True)
FLOWERS, KINDS = load_iris(return_X_y=True)
SICK, WORSE = load_diabetes(return_X_y=True)
QUICK = {"n_estimators": 15, "max_depth": 3, "n_jobs": 1}


def trained(objective: str, x: Any, y: Any, **options: Any) -> xgboost.Booster:
    classes = {"num_class": 3} if objective.startswith("multi") else {}
    return xgboost.train({"objective": objective, "nthread": 1, **classes, **options}, xgboost.DMatrix(x, y), 10)


def missing(x: Any) -> Any:
    holed = x.copy()
    holed[::7, ::2] = np.nan
    return holed


WRAPPERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "two classes": lambda: (xgboost.XGBClassifier(**QUICK).fit(X, Y), X),
    "classes of a float": lambda: (xgboost.XGBClassifier(**QUICK).fit(FLOWERS, KINDS.astype(float)), FLOWERS),
    "softmax": lambda: (xgboost.XGBClassifier(objective="multi:softmax", **QUICK).fit(FLOWERS, KINDS), FLOWERS),
    "a forest of three classes": lambda: (xgboost.XGBRFClassifier(**QUICK).fit(FLOWERS, KINDS), FLOWERS),
    "three trees a round": lambda: (xgboost.XGBClassifier(num_parallel_tree=3, **QUICK).fit(X, Y), X),
    "numbers": lambda: (xgboost.XGBRegressor(random_state=np.random.RandomState(0), **QUICK).fit(SICK, WORSE), SICK),
    "missing values": lambda: (xgboost.XGBClassifier(**QUICK).fit(missing(X), Y), missing(X)),
    "counts": lambda: (xgboost.XGBRegressor(objective="count:poisson", **QUICK).fit(SICK, WORSE), SICK),
    "a ranking": lambda: (
        xgboost.XGBRanker(**QUICK).fit(SICK, (WORSE > 150).astype(int), qid=np.repeat(np.arange(26), 17)),
        SICK,
    ),
}


@pytest.mark.parametrize("format", ["xgboost", "onnx"])
@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_wrapper_answers_as_it_did(kind: str, format: str, tmp_path: Path) -> None:
    model, x = WRAPPERS[kind]()
    kept = keep(model, x, format, tmp_path)
    assert kept.comparison.passed, kept.comparison.words
    assert kept.comparison.agreement == 1.0
    if format == "xgboost":
        assert kept.comparison.max_difference in (0.0, None)
        assert kept.served.run(kept.served.decode(x[:3].tolist()), ["predictions"])["predictions"].dtype == (
            model.predict(x[:3]).dtype
        )


@pytest.mark.parametrize("format", ["xgboost", "onnx"])
@pytest.mark.parametrize(
    "objective", ["binary:logistic", "binary:hinge", "multi:softprob", "multi:softmax", "reg:squarederror"]
)
def test_a_booster_answers_as_it_did(objective: str, format: str, tmp_path: Path) -> None:
    x, y = (FLOWERS, KINDS) if objective.startswith("multi") else (X, Y)
    kept = keep(trained(objective, x, y), x, format, tmp_path)
    assert kept.comparison.passed, kept.comparison.words
    assert kept.captured.task == ("classification" if objective in ("binary:hinge", "multi:softmax") else "regression")


@pytest.mark.parametrize("format", ["xgboost", "onnx"])
def test_a_wrapper_that_stopped_early_answers_with_its_best_trees_and_a_booster_with_all(
    format: str, tmp_path: Path
) -> None:
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=10, learning_rate=0.7, n_jobs=1)
    model.fit(X[:300], Y[:300], eval_set=[(X[300:], Y[300:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    for name, one in (("wrapper", model), ("booster", model.get_booster())):
        (tmp_path / name).mkdir()
        kept = keep(one, X, format, tmp_path / name)
        assert kept.comparison.passed, f"{name}: {kept.comparison.words}"
    assert model.get_booster().attr("best_iteration") is not None  # it is as it was


@pytest.mark.parametrize("booster", ["gblinear", "dart"])
def test_boosters_other_than_trees_are_kept_in_their_own_file(booster: str, tmp_path: Path) -> None:
    model = xgboost.XGBRegressor(booster=booster, n_estimators=5, n_jobs=1).fit(SICK, WORSE)
    assert keep(model, SICK, "xgboost", tmp_path).comparison.passed
    with pytest.raises(ExportFailed) as error:
        write(model, SICK, "onnx", tmp_path / "model.onnx")
    assert booster in error.value.why


def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    found = pd.DataFrame({"size of it": random.normal(size=200), "city": random.choice(["rome", "oslo"], 200)})
    found["city"] = found["city"].astype("category")
    found.loc[::9, "size of it"] = np.nan
    return found


def test_categories_travel_and_one_that_is_not_known_is_refused(tmp_path: Path) -> None:
    rows = table()
    y = (rows["city"] == "rome").astype(int)
    model = xgboost.XGBClassifier(enable_categorical=True, **QUICK).fit(rows, y)
    kept = keep(model, rows, "xgboost", tmp_path)
    assert kept.comparison.passed
    with pytest.raises(InvalidInputs, match="city is not one of the categories"):
        kept.served.predict([{"size of it": 1.0, "city": "paris"}])
    with pytest.raises(ExportFailed) as error:
        write(model, rows, "onnx", tmp_path / "model.onnx")
    assert "'city' is of dtype category" in error.value.why


def test_a_frame_in_another_order_is_not_answered_with_the_wrong_columns() -> None:
    frame = load_breast_cancer(as_frame=True).data
    model = xgboost.XGBClassifier(**QUICK).fit(frame, Y)
    exporter = exporter_of(model)
    assert exporter is not None
    request = BuildRequest("demo", model, frame[frame.columns[::-1]])
    with pytest.raises(BadSample, match="cannot answer the sample") as error:
        capture(request, Path())
    assert "feature_names mismatch" in error.value.why


def test_a_booster_with_names_takes_arrays_and_frames(tmp_path: Path) -> None:
    frame = load_breast_cancer(as_frame=True).data
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(frame, Y), 5)
    for name, sample in (("array", X), ("frame", frame)):
        (tmp_path / name).mkdir()
        for format in ("xgboost", "onnx"):
            folder = tmp_path / name / f"as {format}"
            folder.mkdir()
            assert keep(booster, sample, format, folder).comparison.passed


def test_what_a_file_cannot_hold_is_pickled_and_says_why(tmp_path: Path) -> None:
    def squared(truth: Any, found: Any) -> tuple[Any, Any]:
        return found - truth, np.ones_like(found)

    class Mine(xgboost.XGBRegressor):
        """Of the notebook."""

    asked = {"its objective is a Python function": xgboost.XGBRegressor(objective=squared, **QUICK)}
    asked["its class Mine"] = Mine(**QUICK)
    for words, model in asked.items():
        model.fit(SICK, WORSE)
        with pytest.raises(ExportFailed) as error:
            write(model, SICK, "xgboost", tmp_path / "xgboost")
        assert words in error.value.why
        assert not (tmp_path / "xgboost").exists()
    (tmp_path / "native").mkdir()
    assert keep(asked["its class Mine"], SICK, "native", tmp_path / "native").comparison.passed


def test_a_model_saved_in_an_older_format_is_kept_as_it_answers_now(tmp_path: Path) -> None:
    xgboost.XGBClassifier(**QUICK).fit(FLOWERS, KINDS).save_model(tmp_path / "old.json")
    model = xgboost.XGBClassifier()
    model.load_model(tmp_path / "old.json")
    for format in ("xgboost", "onnx"):
        folder = tmp_path / f"as {format}"
        folder.mkdir()
        assert keep(model, FLOWERS, format, folder).comparison.passed


def test_without_onnxmltools_the_reason_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxmltools"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "onnxmltools":
            raise ModuleNotFoundError(f"No module named {name!r}", name="onnxmltools")
        return real(name, *rest)

    monkeypatch.setattr("importlib.import_module", lambda name: importing(name) and sys.modules[name])
    model = xgboost.XGBClassifier(**QUICK).fit(X, Y)
    for one in (model, make_pipeline(StandardScaler(), model).fit(X, Y)):
        with pytest.raises(ExportFailed) as error:
            write(one, X, "onnx", tmp_path / "model.onnx")
        assert "onnxmltools" in error.value.why
        assert "pip install 'autodeploy_magic[boosters]'" in error.value.why


def test_one_that_was_never_trained_says_so() -> None:
    for model in (xgboost.Booster(), xgboost.XGBClassifier()):
        exporter = exporter_of(model)
        assert exporter is not None
        with pytest.raises(UnfittedModel, match="has not been fitted"):
            exporter.check_fitted(model, "model")


def test_a_pipeline_that_ends_in_one_is_exported(make: Callable[..., Built]) -> None:
    version = make(make_pipeline(StandardScaler(), xgboost.XGBClassifier(**QUICK)).fit(X, Y), X, dry_run=True).version
    rows = [row for row in version.candidates if row.format.startswith("onnx") and row.passed]
    assert version.framework == "sklearn"
    assert rows, version.reason
    assert rows[0].agreement == 1.0


def test_a_calibrated_one_is_exported(tmp_path: Path) -> None:
    model = CalibratedClassifierCV(xgboost.XGBClassifier(**QUICK), cv=2).fit(X, Y)
    kept = keep(model, X, "onnx", tmp_path)
    assert kept.captured.exporter.name == "sklearn"
    assert kept.comparison.passed, kept.comparison.words
