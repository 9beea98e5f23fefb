"""An interval of 95 % holds the true figure in about 95 of 100 samples: simulated, with seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from autodeploy_magic.operate.quality.figures import class_figures, number_figures
from autodeploy_magic.operate.quality.intervals import _student, by_influence, f_one, proportion

RUNS = 800
BAND = (0.925, 0.975)
"""The share of 800 intervals of 95 % is within this but for one time in 1000, and a wrong one is far outside."""


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (1, 10), (95, 100), (100, 100), (1234, 2000)])
def test_wilson_s_interval_is_scipy_s(hits: int, trials: int) -> None:
    reference = stats.binomtest(hits, trials).proportion_ci(0.95, "wilson")
    assert proportion(hits, trials) == pytest.approx((reference.low, reference.high))


def test_nothing_has_no_interval() -> None:
    assert proportion(0, 0) is None
    assert f_one(0, 0) is None
    assert by_influence(0.5, np.zeros(1), "share") is None


@pytest.mark.parametrize("freedom", [4, 9, 30, 1000])
def test_student_s_t_is_scipy_s(freedom: int) -> None:
    assert _student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.01)


@pytest.mark.parametrize(
    ("labels", "matrix"),
    [
        (150, [[0.62, 0.08], [0.06, 0.24]]),
        (400, [[0.88, 0.02], [0.03, 0.07]]),  # few positives
        (300, [[0.30, 0.03, 0.02], [0.03, 0.27, 0.05], [0.02, 0.08, 0.20]]),
        (1000, [[0.60, 0.02, 0.01], [0.03, 0.20, 0.02], [0.01, 0.02, 0.09]]),
    ],
)
def test_intervals_of_classes_hold_the_truth(labels: int, matrix: list[list[float]]) -> None:
    rng = np.random.default_rng(1)
    joint = np.array(matrix)
    classes = len(joint)
    true, answered, hits = joint.sum(axis=1), joint.sum(axis=0), joint.diagonal()
    if classes == 2:
        truth = {"precision": hits[1] / answered[1], "recall": hits[1] / true[1]}
        truth["f1"] = 2 * hits[1] / (true[1] + answered[1])
    else:
        truth = {"precision": (hits / answered).mean(), "recall": (hits / true).mean()}
        truth["f1"] = (2 * hits / (true + answered)).mean()
    truth["accuracy"] = hits.sum()
    held = dict.fromkeys(truth, 0)
    for _ in range(RUNS):
        cells = rng.choice(classes * classes, labels, p=joint.ravel())
        for figure in class_figures(cells // classes, cells % classes, classes, 1 if classes == 2 else None):
            assert figure.low is not None
            assert figure.high is not None
            held[figure.metric] += figure.low <= truth[figure.metric] <= figure.high
    shares = {metric: count / RUNS for metric, count in held.items()}
    assert all(BAND[0] <= share <= BAND[1] for share in shares.values()), shares


@pytest.mark.parametrize("noise", ["normal", "heavy"])
@pytest.mark.parametrize("labels", [60, 500])
def test_intervals_of_errors_hold_the_truth(noise: str, labels: int) -> None:
    rng = np.random.default_rng(2)

    def errors(rows: int) -> np.ndarray:
        return rng.normal(size=rows) if noise == "normal" else rng.laplace(size=rows)

    spread = 1.0 if noise == "normal" else 2.0
    truth = {"mae": np.sqrt(2 / np.pi) if noise == "normal" else 1.0, "rmse": np.sqrt(spread)}
    truth["r2"] = 1 - spread / 9.0
    held = dict.fromkeys(truth, 0)
    for _ in range(RUNS):
        y = rng.normal(scale=3.0, size=labels)
        for figure in number_figures(y[:, None], (y + errors(labels))[:, None]):
            assert figure.low is not None
            assert figure.high is not None
            held[figure.metric] += figure.low <= truth[figure.metric] <= figure.high
    shares = {metric: count / RUNS for metric, count in held.items()}
    least = 0.90 if labels < 100 else BAND[0]  # of few heavy-tailed errors the RMSE is less certain than it says
    assert all(least <= share <= BAND[1] for share in shares.values()), shares


def test_the_delta_method_agrees_with_a_bootstrap() -> None:
    rng = np.random.default_rng(3)
    y = rng.gamma(2.0, size=400)
    answer = y + rng.laplace(scale=0.3, size=400)
    draws = [rng.integers(0, 400, 400) for _ in range(1500)]
    resampled = [{f.metric: f.value for f in number_figures(y[d, None], answer[d, None])} for d in draws]
    for figure in number_figures(y[:, None], answer[:, None]):
        low, high = np.quantile([one[figure.metric] for one in resampled], [0.025, 0.975])
        assert figure.low == pytest.approx(low, abs=0.25 * (high - low))
        assert figure.high == pytest.approx(high, abs=0.25 * (high - low))
