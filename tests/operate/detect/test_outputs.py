"""Answers that are no longer distributed as they were."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from asked import Watched

from autodeploy_magic.operate.detect.outputs import OutputsDetector


def classes(rows: int, seed: int, share: float) -> list[Any]:
    return (np.random.default_rng(seed).random(rows) < share).astype(int).tolist()


def numbers(rows: int, seed: int, share: float) -> list[Any]:
    return np.random.default_rng(seed).lognormal(share * 2, 0.5, rows).tolist()


def several(rows: int, seed: int, share: float) -> list[Any]:
    return np.random.default_rng(seed).normal([0.0, share * 3], size=(rows, 2)).tolist()


def watched(answers: list[Any], task: str) -> Watched:
    return Watched(OutputsDetector("iris"), (), {}, {"predictions": answers}, task=task)


@pytest.mark.parametrize(
    ("made", "task", "words"),
    [
        (classes, "classification", "'0' 6"),
        (numbers, "regression", "mean "),
        (several, "regression", "predictions[1]: PSI "),
    ],
)
def test_each_kind_of_answer(made: Any, task: str, words: str) -> None:
    there = watched(made(100, 0, 0.3), task)
    asked: list[dict[str, float]] = [{}]
    there.ask(asked * 3000, answers=made(3000, 1, 0.3))
    assert there.rules == set()
    assert there.moment is not None
    assert [(one.column, one.state) for one in there.moment.drift] == [("", "same")]
    assert there.ask(asked * 500, "outputs", answers=made(500, 2, 0.6)) is not None
    told = there.told("outputs")
    assert told.text.startswith("the answers of v1 are not distributed as they were: predictions")
    assert words in told.text
    assert told.version == 1


def test_a_mean_confidence_that_falls() -> None:
    there = watched([], "classification")
    chance = np.random.default_rng(0)
    for value in np.clip(chance.normal(0.9, 0.05, 800), 0, 1).tolist():
        there.ask([{}], confidence=(value,))
    assert there.rules == set()
    for value in np.clip(chance.normal(0.7, 0.05, 400), 0, 1).tolist():
        there.ask([{}], confidence=(value,))
    assert there.rules == {"outputs"}
    assert "confidence: PSI " in there.told("outputs").text


def test_a_new_version_begins_anew_and_answers_of_failed_requests_do_not_count() -> None:
    there = watched([], "classification")
    asked: list[dict[str, float]] = [{}]
    there.ask(asked * 800, answers=classes(800, 1, 0.2))
    there.ask(asked * 800, answers=classes(800, 2, 0.9), status=503)
    assert there.rules == set()
    there.version = msgspec.structs.replace(there.version, number=2)
    there.ask(asked * 1500, answers=classes(1500, 2, 0.9))
    assert there.rules == set()
    assert there.moment is not None
    assert there.moment.drift[0].rows > 0
