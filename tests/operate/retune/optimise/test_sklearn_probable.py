"""Probabilities made true, and thresholds moved: only where labelled rows say so, and classes stay what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from bettering import champion_of, holdings_of, made_of
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron
from sklearn.metrics import f1_score
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.sklearn_calibrate import Calibrate, calibration_error, log_loss
from autodeploy_magic.operate.retune.optimise.sklearn_threshold import Threshold, best_threshold


def redundant(rows: int = 3000) -> tuple[Any, Any]:
    """Columns that say the same again and again: naive Bayes is far too sure of itself."""
    x, y = make_classification(
        rows, 20, n_informative=3, n_redundant=15, class_sep=0.5, n_clusters_per_class=1, random_state=0
    )
    return x, np.array(["no", "yes"])[y]


def rare(rows: int = 3000) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4))
    return x, np.where(x[:, 0] + x[:, 1] + random.normal(0, 1.2, rows) > 3.0, "fraud", "fine")


@pytest.mark.parametrize("rows", [400, 1500])
@pytest.mark.parametrize("piped", [False, True])
def test_probabilities_that_are_off_are_calibrated(tmp_path: Path, rows: int, piped: bool) -> None:
    x, y = redundant()
    model = (make_pipeline(StandardScaler(), GaussianNB()) if piped else GaussianNB()).fit(x[:1000], y[:1000])
    champion = champion_of(tmp_path, model, x[:8])
    holdings = holdings_of(champion, x[1000 : 1000 + rows], y[1000 : 1000 + rows])
    (offer,) = Calibrate().offers(champion, holdings)
    assert offer.settings["method"] == ("isotonic" if rows >= 1000 else "sigmoid")
    made = made_of(Calibrate(), champion, holdings, offer).model
    asked, codes = x[2500:], (y[2500:] == "yes").astype(int)
    before, after = model.predict_proba(asked), made.predict_proba(asked)
    assert log_loss(after, codes) < log_loss(before, codes) * 0.9
    assert calibration_error(after, codes) < calibration_error(before, codes) * (0.3 if rows >= 1000 else 0.8)
    assert made.classes_.tolist() == ["no", "yes"]
    assert made.predict(asked).dtype == model.predict(asked).dtype
    again = champion_of(tmp_path / "again", made, x[:8])
    with pytest.raises(NotApplicable, match="well calibrated"):
        Calibrate().offers(again, holdings)


def test_ten_classes_are_calibrated(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    champion = champion_of(tmp_path, GaussianNB(var_smoothing=1e-3).fit(x[:600], y[:600]), x[:8])
    holdings = holdings_of(champion, x[600:1400], y[600:1400])
    made = made_of(Calibrate(), champion, holdings)
    before, after = (log_loss(one.predict_proba(x[1400:]), y[1400:]) for one in (champion.live(), made.model))
    assert after < before
    assert "calibration error" in made.note


def test_one_that_is_calibrated_is_left_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(3000, 3))
    y = random.random(3000) < 1 / (1 + np.exp(-x @ np.array([1.0, -1.0, 0.5])))
    champion = champion_of(tmp_path, LogisticRegression().fit(x[:1500], y[:1500]), x[:8])
    with pytest.raises(NotApplicable, match=r"well calibrated \(log loss 0\.\d+"):
        Calibrate().offers(champion, holdings_of(champion, x[1500:], y[1500:]))


@pytest.mark.parametrize("piped", [False, True])
def test_a_rare_class_is_answered_sooner(tmp_path: Path, piped: bool) -> None:
    x, y = rare()
    model = (make_pipeline(StandardScaler(), LogisticRegression()) if piped else LogisticRegression()).fit(
        x[:1000], y[:1000]
    )
    champion = champion_of(tmp_path, model, x[:8])
    holdings = holdings_of(champion, x[1000:2000], y[1000:2000])
    offers = Threshold().offers(champion, holdings)
    assert [offer.settings["metric"] for offer in offers] == ["f1"]
    made = made_of(Threshold(), champion, holdings, offers[0])
    assert made.changed["class"] == "fraud"
    assert 0.05 < made.changed["threshold"] < 0.45
    before, after = (f1_score(y[2000:], one.predict(x[2000:]), pos_label="fraud") for one in (model, made.model))
    assert after > before + 0.03
    assert np.array_equal(made.model.predict_proba(x), model.predict_proba(x))
    assert made.model.predict(x).dtype == model.predict(x).dtype
    again = champion_of(tmp_path / "again", made.model, x[:8])
    offers = Threshold().offers(again, holdings_of(again, x[2000:], y[2000:]))
    assert [offer.settings["metric"] for offer in offers] == ["balanced_accuracy"]


def test_where_the_threshold_is_right_none_is_offered(tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    champion = champion_of(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()).fit(x[:250], y[:250]), x[:8])
    with pytest.raises(NotApplicable, match=r"no threshold is surely better than today's \(accuracy 0\.9"):
        Threshold().offers(champion, holdings_of(champion, x[250:], y[250:]))


def test_the_best_threshold_lies_between_two_scores() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert best_threshold(scores, np.array([False, True, True, True]), "f1") == pytest.approx(0.15)
    assert best_threshold(scores, np.array([False, False, False, False]), "accuracy") == 0.5


@pytest.mark.parametrize("optimiser", [Calibrate(), Threshold()], ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("model", "data", "rows", "words"),
    [
        (Perceptron(), load_breast_cancer, 569, "a Perceptron says no probabilities"),
        (LinearRegression(), load_diabetes, 400, "is for classifiers"),
        (LogisticRegression(max_iter=50), load_breast_cancer, 80, "needs 20 more labelled rows"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_those_that_cannot_say_why(
    tmp_path: Path, optimiser: Any, model: Any, data: Any, rows: int, words: str
) -> None:
    x, y = data(return_X_y=True)
    champion = champion_of(tmp_path, model.fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match=words):
        optimiser.offers(champion, holdings_of(champion, x[:rows], y[:rows]))


def test_a_threshold_is_for_two_classes_and_keeps_a_calibration(tmp_path: Path) -> None:
    x, y = load_digits(return_X_y=True)
    champion = champion_of(tmp_path / "ten", GaussianNB().fit(x, y), x[:8])
    with pytest.raises(NotApplicable, match="it knows 10"):
        Threshold().offers(champion, holdings_of(champion, x, y))
    x, y = rare()
    inner = CalibratedClassifierCV(FrozenEstimator(GaussianNB().fit(x[:1000], y[:1000]))).fit(x[:1000], y[:1000])
    champion = champion_of(tmp_path / "calibrated", inner, x[:8])
    made = made_of(Threshold(), champion, holdings_of(champion, x[1000:2000], y[1000:2000]))
    assert np.array_equal(made.model.predict_proba(x), inner.predict_proba(x))
    decided = champion_of(tmp_path / "decided", made.model, x[:8])
    with pytest.raises(NotApplicable, match="decides by a threshold"):
        Calibrate().offers(decided, holdings_of(decided, x[1000:], y[1000:]))


def test_a_booster_is_decided_by_a_threshold_too(tmp_path: Path) -> None:
    x, names = rare()
    y = (names == "fraud").astype(int)
    model = xgboost.XGBClassifier(n_estimators=20, max_depth=2, n_jobs=1).fit(x[:1000], y[:1000])
    champion = champion_of(tmp_path, model, x[:8], "xgboost")
    made = made_of(Threshold(), champion, holdings_of(champion, x[1000:], y[1000:])).model
    assert isinstance(made, FixedThresholdClassifier)
    assert f1_score(y[1000:], made.predict(x[1000:])) > f1_score(y[1000:], model.predict(x[1000:]))
