"""A supervisor that starts again knows what the minutes on disk tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from metered import rollup, write
from promised import START, moment

from autodeploy_magic.metrics.histogram import bucket
from autodeploy_magic.operate.detect.base import Answers, Moment
from autodeploy_magic.operate.detect.slo import SloDetector
from autodeploy_magic.operate.slo.history import minutes

FAST, SLOW = 0.010, 0.100
OK, FAILED, REFUSED = 200, 500, 429
NOW = START + 3600 + 30
LINE = "p99<50ms, errors<1%"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of two answers a second: v1 for half of it, then v2, of which one in ten fails and is slow."""
    rows = []
    for second in range(START, START + 3600):
        number = 1 if second < START + 1800 else 2
        bad = number == 2 and second % 5 == 0
        codes = [OK, FAILED if bad else OK]
        rows.append(rollup(second, [FAST, SLOW if bad else FAST], version=number, statuses=codes))
    rows.append(rollup(START + 3605, [FAST], version=2, statuses=[REFUSED]))  # of a minute that is not over
    return write(tmp_path_factory.mktemp("history") / "metrics.sqlite", rows)


def test_minutes_are_told_by_version_with_what_was_too_slow(file: Path) -> None:
    found = minutes(file, START, NOW, [bucket(0.05), bucket(1.0)])
    assert [one.version for one in found] == [1] * 30 + [2] * 30
    assert [one.minute for one in found] == [START + 60 * i for i in range(60)]
    assert found[0][2:] == (120, 0, 0, (0, 0))
    assert found[-1][2:] == (120, 0, 12, (12, 0))
    assert [one[2:5] for one in minutes(file, START, NOW, [])] == [one[2:5] for one in found]


def test_nothing_is_told_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert minutes(tmp_path / "none.sqlite", START, NOW, [1]) == []


def test_the_windows_are_the_champion_s_and_the_budget_everybody_s(file: Path) -> None:
    detector = SloDetector("iris")
    now = moment(NOW, Answers(), LINE, number=2, swapped_s=float(START + 1800))
    detector.recall(file, now)
    detector.see(now)
    for one in now.objectives:
        assert one.burn_fast == pytest.approx(10, rel=0.05)
        assert one.burn_slow == pytest.approx(10, rel=0.05)
        assert one.budget_left == 0.0
    # The first look at the rows of the book finds the hour spoilt.
    findings = [found for t in range(NOW + 1, NOW + 6) for found in detector.see(_second(t))]
    assert {found.rule for found in findings} >= {"slo:errors", "slo:p99"}
    assert "of 3,6" in findings[0].text


def _second(t: int) -> Moment:
    return moment(t, Answers(), LINE, number=2, swapped_s=float(START + 1800))


def test_a_version_that_just_came_begins_with_nothing(file: Path) -> None:
    detector = SloDetector("iris")
    now = moment(NOW, Answers(), LINE, number=3, swapped_s=float(NOW))
    detector.recall(file, now)
    assert detector.see(now) == []
    assert {(one.burn_fast, one.budget_left) for one in now.objectives} == {(None, 0.0)}
