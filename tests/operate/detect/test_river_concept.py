"""Labels that say that the model is wrong more often than it was."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from asked import START, Watched

from autodeploy_magic.operate.detect.river_concept import ConceptDetector, distance, is_same
from autodeploy_magic.reservoir import Labelled


def label(i: int, prediction: Any, true: Any, **more: Any) -> Labelled:
    found = Labelled(f"r{i}", 0, 1, START + i, START + i, prediction, true, {})
    return found._replace(**more)


def labels(count: int, wrong: float, seed: int, start: int = 0) -> list[Labelled]:
    """Labels of a classifier that always says "yes"."""
    chance = np.random.default_rng(seed)
    return [label(start + i, "yes", "no" if flip else "yes") for i, flip in enumerate(chance.random(count) < wrong)]


def told_after(there: Watched, came: list[Labelled], each: int = 5) -> int | None:
    for start in range(0, len(came), each):
        there.second(labelled=came[start : start + each])
        if "concept" in there.rules:
            return start + each
    return None


def watched(task: str = "classification") -> Watched:
    return Watched(ConceptDetector("iris"), task=task)


@pytest.mark.parametrize("seed", range(10))
def test_a_flip_of_labels_from_5_to_20_percent_is_told_within_300(seed: int) -> None:
    there = watched()
    assert told_after(there, labels(1000, 0.05, seed)) is None
    took = told_after(there, labels(300, 0.2, seed + 100))
    assert took is not None
    told = there.told("concept")
    assert (told.severity, told.metric, told.version) == ("warning", "accuracy", 1)
    assert told.limit is not None
    assert 0.9 < told.limit < 1
    assert "is wrong more often than it was" in told.text


def test_what_becomes_better_is_no_fault_and_what_is_as_it_was_neither() -> None:
    there = watched()
    assert told_after(there, labels(1000, 0.4, 0)) is None
    assert told_after(there, labels(1000, 0.1, 1)) is None
    assert told_after(there, labels(10_000, 0.1, 2), each=100) is None


def test_it_is_over_when_the_answers_are_right_again() -> None:
    there = watched()
    told_after(there, labels(1000, 0.05, 0))
    assert told_after(there, labels(400, 0.4, 1)) is not None
    for start in range(0, 600, 20):
        there.second(labelled=labels(20, 0.05, start))
    assert there.rules == set()


def test_a_batch_in_any_order_is_read_by_the_time_of_its_labels() -> None:
    came = [*labels(300, 0.0, 0), *labels(150, 0.5, 1, start=300)]
    there = watched()
    there.second(labelled=list(reversed(came)))
    assert there.rules == {"concept"}
    once = watched()
    once.second(labelled=[one._replace(labelled_s=START + 1000.0) for one in reversed(came)])  # then of the answers
    assert once.rules == {"concept"}


def test_a_label_that_replaces_another_is_not_counted_twice_and_other_versions_are_not() -> None:
    there = watched()
    told_after(there, labels(500, 0.0, 0))
    assert told_after(there, [one._replace(before="yes") for one in labels(500, 0.8, 1)]) is None
    assert told_after(there, [one._replace(version=2) for one in labels(500, 0.8, 1)]) is None
    there.version = msgspec.structs.replace(there.version, number=2)
    assert told_after(there, [one._replace(version=2) for one in labels(500, 0.8, 1)]) is None  # it begins anew


def test_numbers_that_are_further_off_whatever_their_unit() -> None:
    for unit in (1e-9, 1.0, 1e9):
        chance = np.random.default_rng(0)
        errors = [*chance.normal(scale=unit, size=800).tolist(), *chance.normal(scale=3 * unit, size=300).tolist()]
        came = [label(i, 5 * unit, 5 * unit + error) for i, error in enumerate(errors)]
        there = watched("regression")
        assert told_after(there, came[:800]) is None
        assert told_after(there, came[800:]) is not None
        assert there.told("concept").metric == "mae"


def test_strange_labels_do_not_hurt() -> None:
    strange = [None, "x", [1], {"a": 1}, 10**400, float("nan"), float("inf"), True, [], [None]]
    for task in ("classification", "regression", "clustering"):
        there = watched(task)
        there.second(labelled=[label(i, p, t) for i, (p, t) in enumerate([(a, b) for a in strange for b in strange])])
        assert there.rules == set()


def test_after_a_restart_it_is_seen_again() -> None:
    there = watched()
    assert isinstance(there.detector, ConceptDetector)
    past = [*labels(600, 0.05, 0), *labels(300, 0.5, 1, start=600)]
    there.detector.warm([], [one._replace(before="maybe") for one in reversed(past)])
    assert [one.rule for one in there.second()] == ["concept"]


def test_what_is_the_same_answer() -> None:
    assert is_same(1, 1.0)
    assert is_same("1", 1)
    assert is_same(1.0, "1")
    assert is_same(True, "true")
    assert not is_same("a", "b")
    assert distance([1, 2], [2, 4]) == 1.5
    assert distance("1", 2) is None
    assert distance([1], [1, 2]) is None


def test_river_is_imported_at_the_first_label_and_not_before() -> None:
    code = (
        "import sys; from autodeploy_magic.operate.detect import river_concept as r; d = r.ConceptDetector('a');"
        "d._version = 1; print('river' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]
