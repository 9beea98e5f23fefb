"""The figures are scikit-learn's, of really trained models on real data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import datasets, metrics
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from autodeploy_magic.health import Figure
from autodeploy_magic.operate.quality.figures import (
    class_figures,
    confusion_of,
    in_order,
    number_figures,
    share_figures,
)


def values(figures: tuple[Figure, ...]) -> dict[str, float]:
    for figure in figures:
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high
        assert not figure.estimated
    return {figure.metric: figure.value for figure in figures}


def test_two_classes_have_the_figures_of_the_positive_one() -> None:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    answer = LogisticRegression(max_iter=50).fit(x[:200, :3], y[:200]).predict(x[200:, :3])
    truth = y[200:]
    assert values(class_figures(truth, answer, 2, 1)) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, answer),
            "precision": metrics.precision_score(truth, answer),
            "recall": metrics.recall_score(truth, answer),
            "f1": metrics.f1_score(truth, answer),
        }
    )


@pytest.mark.parametrize("load", [datasets.load_iris, datasets.load_wine, datasets.load_digits])
def test_more_classes_have_macro_averages(load: object) -> None:
    x, y = load(return_X_y=True)  # type: ignore[operator]
    answer = DecisionTreeClassifier(max_depth=3, random_state=0).fit(x[::2], y[::2]).predict(x[1::2])
    truth = y[1::2]
    assert values(class_figures(truth, answer, len(set(y)), None)) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, answer),
            **{
                name: score(truth, answer, average="macro", zero_division=0)
                for name, score in [
                    ("precision", metrics.precision_score),
                    ("recall", metrics.recall_score),
                    ("f1", metrics.f1_score),
                ]
            },
        }
    )
    confusion = confusion_of(truth, answer, [str(name) for name in range(len(set(y)))])
    assert confusion is not None
    assert np.array_equal(confusion.counts, metrics.confusion_matrix(truth, answer))


def test_a_class_that_was_never_answered_counts_as_nought() -> None:
    truth, answer = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 0, 0, 2, 2, 0])
    found = values(class_figures(truth, answer, 5, None))  # of the classes 3 and 4 nothing was seen
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, answer, average="macro", zero_division=0))
    assert found["precision"] == pytest.approx(metrics.precision_score(truth, answer, average="macro", zero_division=0))


@pytest.mark.parametrize("targets", [1, 3])
def test_numbers_have_errors_and_r_squared(targets: int) -> None:
    x, y = datasets.load_diabetes(return_X_y=True) if targets == 1 else datasets.load_linnerud(return_X_y=True)
    model = RandomForestRegressor(10, random_state=0) if targets == 1 else LinearRegression()
    truth = y[1::2].reshape(-1, targets)
    answer = model.fit(x[::2], y[::2]).predict(x[1::2]).reshape(-1, targets)
    assert values(number_figures(truth, answer)) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(truth, answer),
            "rmse": metrics.root_mean_squared_error(truth, answer),
            "r2": metrics.r2_score(truth, answer),
        }
    )


def test_what_cannot_be_told_is_left_out() -> None:
    nothing = np.zeros(0, int)
    assert share_figures(nothing) == ()
    assert class_figures(nothing, nothing, 2, 1) == ()
    assert number_figures(np.zeros((0, 1)), np.zeros((0, 1))) == ()
    never = {figure.metric for figure in class_figures(np.array([1, 0]), np.array([0, 0]), 2, 1)}
    assert never == {"accuracy", "recall", "f1"}  # no precision of a class that was never answered
    same = {figure.metric for figure in number_figures(np.ones((5, 1)), np.zeros((5, 1)))}
    assert same == {"mae", "rmse"}  # the labels do not vary
    (one,) = (figure for figure in number_figures(np.ones((1, 1)), np.zeros((1, 1))) if figure.metric == "mae")
    assert (one.value, one.low, one.high) == (1.0, None, None)


def test_answers_without_a_fault_are_not_certain() -> None:
    truth = np.tile([0, 1, 2], 20)
    for figure in class_figures(truth, truth, 3, None):
        assert figure.value == figure.high == 1.0
        assert figure.low is not None
        assert 0.9 < figure.low < 1.0
    exact = {figure.metric: figure for figure in number_figures(truth[:, None] * 1.0, truth[:, None] * 1.0)}
    assert (exact["mae"].value, exact["rmse"].value, exact["r2"].value) == (0.0, 0.0, 1.0)


def test_many_classes_are_told_as_the_most_frequent_and_others() -> None:
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.repeat(np.arange(19), 10), rng.integers(19, 300, 100)])
    confusion = confusion_of(truth, truth, [str(i) for i in range(300)])
    assert confusion is not None
    assert confusion.classes == (*map(str, range(19)), "others")
    assert np.array(confusion.counts).sum() == len(truth)
    assert confusion.counts[-1][-1] == 100


def test_classes_are_in_scikit_learn_s_order() -> None:
    assert in_order(["10", "9", "-1"]) == ["-1", "9", "10"]
    assert in_order(["yes", "no"]) == ["no", "yes"]
    assert in_order(["True", "False"]) == ["False", "True"]


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 1.7e308])
def test_numbers_whose_squares_are_none_have_no_figures_that_are_none(scale: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(50, 1)) * (scale / 10)
    for figure in number_figures(truth, truth[::-1]):
        ends = [end for end in (figure.value, figure.low, figure.high) if end is not None]
        assert np.isfinite(ends).all()
