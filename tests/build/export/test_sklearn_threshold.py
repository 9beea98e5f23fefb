"""A decision by a threshold, and a calibration of a frozen model, in ONNX: the answers are the live object's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boosting import keep
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def cancers(kind: str) -> tuple[Any, Any]:
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x, {"text": np.array(["malign", "benign"])[y], "int": y + 3, "bool": y.astype(bool)}[kind]


@pytest.mark.parametrize("format", ["onnx", "onnx-float64"])
@pytest.mark.parametrize(("kind", "positive"), [("text", "malign"), ("text", "benign"), ("int", 3), ("bool", True)])
def test_a_threshold_decides(tmp_path: Path, kind: str, positive: Any, format: str) -> None:
    x, y = cancers(kind)
    inner = FrozenEstimator(LogisticRegression(C=0.01).fit(x, y))
    model = FixedThresholdClassifier(inner, threshold=0.9, pos_label=positive, response_method="predict_proba")
    kept = keep(model.fit(x, y), x, format, tmp_path)
    assert kept.comparison.passed
    assert not np.array_equal(model.predict(x), inner.predict(x)), "the threshold must move answers"


@pytest.mark.parametrize("last", ["tuned", "piped", "forest", "calibrated"])
def test_wherever_it_stands(tmp_path: Path, last: str) -> None:
    x, y = cancers("text")
    logistic = LogisticRegression(C=0.01)
    if last == "tuned":
        model: Any = TunedThresholdClassifierCV(logistic, cv=2, scoring="balanced_accuracy")
    elif last == "piped":
        model = make_pipeline(StandardScaler(), FixedThresholdClassifier(logistic, threshold=0.2, pos_label="benign"))
    elif last == "forest":
        forest = RandomForestClassifier(10, max_depth=4, random_state=0)
        model = FixedThresholdClassifier(make_pipeline(StandardScaler(), forest), threshold=0.83, pos_label="malign")
    else:
        calibrated = CalibratedClassifierCV(FrozenEstimator(logistic.fit(x, y)))
        model = FixedThresholdClassifier(calibrated, threshold=0.8, pos_label="malign")
    assert keep(model.fit(x, y), x, "onnx", tmp_path).comparison.passed


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_frozen_model_is_calibrated(tmp_path: Path, method: str) -> None:
    x, y = load_wine(return_X_y=True)
    scaler = StandardScaler().fit(x)
    inner = LogisticRegression().fit(scaler.transform(x), y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(inner), method=method).fit(scaler.transform(x), y)
    assert keep(make_pipeline(scaler, calibrated), x, "onnx", tmp_path).comparison.passed
