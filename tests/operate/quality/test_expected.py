"""What confidences let expect is close to what is true, for models that know what they know, and is marked."""

from __future__ import annotations

import numpy as np
import pytest
from labelled import model, recorded
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from autodeploy_magic.health import Figure
from autodeploy_magic.operate.quality.expected import Expected, _monotone, calibrated
from autodeploy_magic.operate.quality.pairs import Pairs


def by_metric(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    assert all(figure.estimated for figure in figures)
    return {figure.metric: figure for figure in figures}


def expected_of(classes: int, predictions: np.ndarray, probabilities: np.ndarray, version: int = 1) -> Expected:
    found = Expected(Pairs(model(classes=classes)))
    for i in range(0, len(predictions), 10):
        request = recorded(
            str(i),
            predictions[i : i + 10].tolist(),
            probabilities=probabilities[i : i + 10].tolist(),
            version=version,
        )
        found.add(request)
    return found


def test_of_a_calibrated_model_the_estimate_is_close_to_the_truth() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 3))
    y = (rng.random(4000) < 1 / (1 + np.exp(1.0 - x @ [2.0, -1.0, 0.5]))).astype(int)
    fitted = LogisticRegression().fit(x[:2000], y[:2000])
    answers, probabilities = fitted.predict(x[2000:]), fitted.predict_proba(x[2000:])
    found = by_metric(expected_of(2, answers, probabilities).figures(None, "1"))
    assert found["accuracy"].value == pytest.approx(accuracy_score(y[2000:], answers), abs=0.02)
    assert found["f1"].value == pytest.approx(f1_score(y[2000:], answers), abs=0.03)
    assert found["accuracy"].labels == 0
    assert found["accuracy"].low is not None
    assert found["accuracy"].low < accuracy_score(y[2000:], answers) < (found["accuracy"].high or 0)


def test_of_more_classes_too() -> None:
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    x = x + rng.normal(scale=6.0, size=x.shape)
    x = x / 16
    fitted = LogisticRegression(C=0.3, max_iter=100).fit(x[:900], y[:900])
    answers, probabilities = fitted.predict(x[900:]), fitted.predict_proba(x[900:])
    found = expected_of(10, answers, probabilities)
    calibration = calibrated(probabilities.max(axis=1), (answers == y[900:]).astype(float))
    figures = by_metric(found.figures(calibration, None))
    assert figures["accuracy"].value == pytest.approx(accuracy_score(y[900:], answers), abs=0.03)
    assert figures["f1"].value == pytest.approx(f1_score(y[900:], answers, average="macro"), abs=0.05)


def test_labels_put_an_overconfident_model_right() -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.6, 1.0, 3000)
    right = (rng.random(3000) < sure - 0.2).astype(float)  # right less often than it says
    found = Expected(Pairs(model(classes=2)))
    for confidence in sure[1000:]:
        found.add(recorded("a", [1], probabilities=[[1 - confidence, confidence]]))
    believed = by_metric(found.figures(None, None))["accuracy"]
    assert believed.value == pytest.approx(0.8, abs=0.02)
    calibration = calibrated(sure[:1000], right[:1000])
    assert calibration is not None
    put_right = by_metric(found.figures(calibration, None))["accuracy"]
    assert put_right.value == pytest.approx(right[1000:].mean(), abs=0.03)
    assert put_right.labels == 1000
    assert put_right.low is not None
    assert put_right.low < 0.6 < (put_right.high or 0)
    assert calibrated(sure[:199], right[:199]) is None  # too few labels


def test_the_interval_with_labels_holds_the_truth() -> None:
    held = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sure, labelled = rng.uniform(0.6, 1.0, 500), rng.uniform(0.6, 1.0, 300)
        found = Expected(Pairs(model(classes=2)))
        found.add(recorded("a", [1] * 500, probabilities=[[1 - p, p] for p in sure]))
        calibration = calibrated(labelled, (rng.random(300) < labelled**2).astype(float))
        (figure,) = found.figures(calibration, None)
        truth = (1.0**3 - 0.6**3) / 3 / 0.4
        held += figure.low is not None and figure.high is not None and figure.low <= truth <= figure.high
    assert 0.89 <= held / 200 <= 0.99


def test_a_version_has_its_own() -> None:
    found = Expected(Pairs(model(classes=2)))
    for version, sure in ((1, 0.9), (2, 0.6)):
        found.add(recorded("a", [1] * 50, probabilities=[[1 - sure, sure]] * 50, version=version))
    assert [found.figures(None, None, version)[0].value for version in (0, 1, 2)] == pytest.approx([0.75, 0.9, 0.6])
    assert found.figures(None, None, 3) == ()


def test_without_confidences_nothing_is_expected() -> None:
    found = Expected(Pairs(model("regression", dtype="float64")))
    found.add(recorded("a", [1.5] * 100))
    assert found.figures(None, None) == ()
    few = Expected(Pairs(model(classes=2)))
    few.add(recorded("a", [1] * 19, probabilities=[[0.1, 0.9]] * 19))
    assert few.figures(None, None) == ()


def test_a_network_s_probabilities_are_its_answers() -> None:
    found = Expected(Pairs(model("classification", dtype="float32", shape=(3,))))
    found.add(recorded("a", [[0.1, 0.8, 0.1]] * 30))
    assert by_metric(found.figures(None, None))["accuracy"].value == pytest.approx(0.8)
    logits = Expected(Pairs(model("function", dtype="float32", shape=(3,))))
    logits.add(recorded("a", [[-1.0, 8.0, 0.1]] * 30))
    assert logits.figures(None, None) == ()


def test_only_the_newest_rows_count() -> None:
    found = Expected(Pairs(model(classes=2)))
    found.add(recorded("a", [1] * 2000, probabilities=[[0.4, 0.6]] * 2000))
    found.add(recorded("b", [1] * 3000, probabilities=[[0.1, 0.9]] * 3000))
    assert found.figures(None, None)[0].value == pytest.approx(0.9)


def test_monotone_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.random(25), rng.integers(1, 9, 25).astype(float)
    reference = IsotonicRegression().fit_transform(np.arange(25), values, sample_weight=weights)
    assert _monotone(values, weights) == pytest.approx(reference)


def test_expected_of_real_rows_is_near_what_the_labels_say() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    fitted = LogisticRegression(max_iter=3000).fit(x[:300, :4], y[:300])
    answers, probabilities = fitted.predict(x[300:, :4]), fitted.predict_proba(x[300:, :4])
    found = by_metric(expected_of(2, answers, probabilities).figures(None, "1"))
    assert found["accuracy"].value == pytest.approx(accuracy_score(y[300:], answers), abs=0.05)
    assert found["f1"].value == pytest.approx(f1_score(y[300:], answers), abs=0.05)
