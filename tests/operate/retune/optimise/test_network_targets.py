"""What labels say of a network's numbers: classes by position or by name, chances, measured values; and since when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimising import rows_of

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.network_targets import form_of, parted, targets_of

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 3))
SCORES = RANDOM.normal(size=(120, 3)) * 3
CHANCES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


def same(values: Any) -> Any:
    return values


def read(labels: Any, answers: Any, task: str = "function", postprocess: Any = None, at_s: Any = ()) -> Any:
    return targets_of(rows_of(X, labels, at_s), answers, task, postprocess, same)


@pytest.mark.parametrize(
    ("answers", "form"),
    [
        (SCORES, "logits"),
        (CHANCES, "probabilities"),
        (np.log(CHANCES), "log"),
        (1 / (1 + np.exp(-SCORES)), "sigmoid"),
        (CHANCES[:, 0], "sigmoid"),
        (SCORES[:, :1], "logits"),
    ],
)
def test_how_answers_are_given_is_read_from_them(answers: Any, form: str) -> None:
    assert form_of(answers) == form


@pytest.mark.parametrize("labels", [[1, 2, 0], ["1", "2", "0"], [1.0, 2.0, 0.0], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]])
def test_a_label_is_the_position_of_a_class(labels: list[Any]) -> None:
    found = read(labels * 40, SCORES)
    assert found.kind == "classes"
    assert found.values[:3].tolist() == [1, 2, 0]


@pytest.mark.parametrize("answers", [SCORES, CHANCES, np.log(CHANCES)])
def test_texts_are_the_classes_that_a_postprocess_makes(answers: Any) -> None:
    found = read(NAMES[[2, 0, 1] * 40], answers, postprocess=lambda y: NAMES[np.asarray(y).argmax(1)])
    assert found.values[:3].tolist() == [2, 0, 1]
    assert found.classes == tuple(NAMES)


def test_a_postprocess_that_makes_probabilities_leaves_the_places() -> None:
    found = read([2, 0, 1] * 40, SCORES, postprocess=lambda y: np.exp(y) / np.exp(y).sum(1, keepdims=True))
    assert found.values[:3].tolist() == [2, 0, 1]


def test_texts_without_a_postprocess_do_not_say_which_class() -> None:
    with pytest.raises(NotApplicable, match="do not say what the network answers"):
        read(NAMES[[0] * 120], SCORES)


def test_a_postprocess_that_makes_one_of_all_cannot_be_taken_back() -> None:
    with pytest.raises(NotApplicable, match="not its classes"):
        read(NAMES[[0] * 120], SCORES, postprocess=lambda y: ["flower"] * len(y))
    with pytest.raises(NotApplicable, match="other numbers"):
        read([0.5] * 120, SCORES[:, 0], "regression", postprocess=np.exp)


def test_one_number_is_a_chance_where_its_threshold_is_that_of_one() -> None:
    true = SCORES[:, 0] > 0
    assert read(true.tolist(), SCORES[:, :1]).kind == "chances"
    assert read(true.astype(int), CHANCES[:, :1]).kind == "chances"
    measured = true + RANDOM.normal(size=120) * 0.05
    assert read(true.astype(float), measured).kind == "numbers"  # around 0 and 1, its threshold is a half
    assert read(true.astype(float), measured, "regression").kind == "numbers"
    found = read(np.where(true, "yes", "no"), SCORES[:, 0], postprocess=lambda y: np.where(y > 0, "yes", "no"))
    assert found.values.tolist() == true.tolist()


def test_labels_that_are_no_class_are_left_out_and_counted() -> None:
    found = read([0, 1, 2, 7] * 30, SCORES)
    assert len(found.positions) == 90
    assert "30 rows left out" in found.notes[0]


def test_rows_since_the_errors_grew_are_those_that_count() -> None:
    right = SCORES.argmax(1)
    labels = np.where(np.arange(120) < 60, right, (right + 1) % 3)
    found = read(labels, SCORES, at_s=1e9 + np.arange(120.0))
    assert found.weights[:50].max() < found.weights[70:].min() / 5
    assert "errors grew" in found.notes[0]
    steady = read(right, SCORES, at_s=1e9 + np.arange(120.0))
    assert steady.weights[-1] > steady.weights[0] > 0.5
    assert read(right, SCORES).weights.std() < 0.5


def test_rows_are_kept_aside_of_each_class_and_never_learnt_from() -> None:
    found = read([0] * 100 + [1] * 20, SCORES)
    places, kept = parted(found, 3)
    assert set(places) | set(kept) == set(range(120))
    assert not set(places) & set(kept)
    assert np.bincount(found.values[kept]).tolist() == [20, 4]
    assert parted(found, 3)[1].tolist() == kept.tolist() != parted(found, 4)[1].tolist()
