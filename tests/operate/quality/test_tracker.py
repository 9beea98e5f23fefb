"""The tracker on a real file of requests and labels, second by second."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from labelled import NOW, labelled, model, moment, recorded, write
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Figure, Quality
from autodeploy_magic.operate.detect.base import Reference
from autodeploy_magic.operate.quality.by import main, slices_by
from autodeploy_magic.operate.quality.tracker import FIGURES_S, SLICES_S, Tracker
from autodeploy_magic.operate.quality.window import WINDOW
from autodeploy_magic.operate.quality.words import words
from autodeploy_magic.reservoir import Label, Reader, add_labels

X, Y = load_breast_cancer(return_X_y=True)
FITTED = LogisticRegression(max_iter=3000).fit(X[:200, :4], Y[:200])
ROWS, TRUTH = X[200:, :4], Y[200:]
COLUMNS = [("radius", "float64"), ("texture", "float64"), ("perimeter", "float64"), ("side", "str")]
CANCER = model(classes=2, columns=COLUMNS)


def requests(count: int, *, start: int = 0, version: int = 1) -> list[Any]:
    """Real rows, ten a request, answered by the fitted model."""
    found = []
    for i in range(start, start + count):
        rows = ROWS[10 * i : 10 * i + 10]
        inputs = {name: rows[:, j].tolist() for j, (name, _) in enumerate(COLUMNS[:3])}
        inputs["side"] = ["left" if row % 2 else "right" for row in range(len(rows))]
        probabilities = FITTED.predict_proba(rows).tolist()
        answers = FITTED.predict(rows).tolist()
        found.append(recorded(f"r{i}", answers, inputs=inputs, probabilities=probabilities, version=version))
    return found


def labels_of(count: int, *, start: int = 0, flip: bool = False) -> list[Label]:
    truth = 1 - TRUTH if flip else TRUTH
    return [Label(f"r{i}", row, int(truth[10 * i + row])) for i in range(start, start + count) for row in range(10)]


def values(figures: Sequence[Figure]) -> dict[str, float]:
    return {figure.metric: figure.value for figure in figures}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "requests.sqlite"


def see(tracker: Tracker, t: int, version: Version = CANCER, **more: Any) -> Quality | None:
    return tracker.see(moment(t, version, **more))


def known(found: Quality | None) -> Quality:
    assert found is not None
    return found


def test_nothing_recorded_is_no_quality(file: Path) -> None:
    tracker = Tracker("iris", file)
    assert [see(tracker, NOW + t) for t in range(10)] == [None] * 10
    tracker.close()


def test_confidences_come_first_and_labels_next(file: Path) -> None:
    tracker = Tracker("iris", file)
    assert see(tracker, NOW) is None
    reader = Reader(file, CANCER.signature)
    assert reader.news() == ([], [])
    write(file, requests(30))
    came, labels = reader.news()
    found = known(see(tracker, NOW + FIGURES_S, requests=came, labels=labels))
    assert (found.answered, found.labels, found.figures) == (300, 0, ())
    assert all(figure.estimated for figure in found.estimated)
    assert words(found).endswith("expected, no labels yet")

    add_labels(file, labels_of(30), NOW + 2)
    came, labels = reader.news()
    found = known(see(tracker, NOW + 2 * FIGURES_S, requests=came, labels=labels))
    answers = FITTED.predict(ROWS[:300])
    assert values(found.figures)["accuracy"] == accuracy_score(TRUTH[:300], answers)
    assert values(found.figures)["f1"] == pytest.approx(f1_score(TRUTH[:300], answers))
    assert values(found.estimated)["accuracy"] == pytest.approx(accuracy_score(TRUTH[:300], answers), abs=0.02)
    assert found.estimated[0].labels == 300  # which put the confidences right
    assert (found.labels, found.answered, found.late, found.window) == (300, 300, 0, WINDOW)
    assert found.confusion is not None
    assert found.confusion.classes == ("0", "1")
    assert words(found).startswith("F1 0.")
    reader.close()


def test_a_supervisor_that_starts_again_knows_what_was(file: Path) -> None:
    write(file, requests(30))
    add_labels(file, labels_of(30), NOW)
    first = known(see(Tracker("iris", file), NOW))
    assert first.labels == 300
    assert first.answered == 300
    again = Tracker("iris", file)
    assert see(again, NOW + 100) == first
    # What it is told of again is not counted twice.
    came = known(see(again, NOW + 200, requests=requests(30)[-5:], labels=[labelled("r0", 1, 1, row=0)]))
    assert (came.answered, came.labels) == (300, 300)


def test_nothing_is_made_anew_while_nothing_comes(file: Path) -> None:
    write(file, requests(5))
    tracker = Tracker("iris", file)
    first = see(tracker, NOW)
    assert all(see(tracker, NOW + t) is first for t in range(1, 200))
    early = see(tracker, NOW + 200, labels=[labelled("r0", 1, 1)])
    assert early is not first
    assert see(tracker, NOW + 201, labels=[labelled("r1", 1, 0)]) is early  # not so soon
    assert known(see(tracker, NOW + 200 + FIGURES_S)).labels == 2


def test_a_changed_label_counts_anew(file: Path) -> None:
    write(file, requests(10))
    add_labels(file, labels_of(10, flip=True), NOW)
    tracker, reader = Tracker("iris", file), Reader(file, CANCER.signature)
    reader.news()
    before = known(see(tracker, NOW))
    accepted = add_labels(file, labels_of(10), NOW + 1)
    assert accepted.changed == 100
    after = known(see(tracker, NOW + FIGURES_S, labels=reader.news()[1]))
    reader.close()
    assert values(after.figures)["accuracy"] == pytest.approx(1 - values(before.figures)["accuracy"])
    assert (after.labels, after.changed, before.changed) == (100, 100, 0)


def test_late_and_unmatched_labels_are_counted(file: Path) -> None:
    write(file, requests(2))
    add_labels(file, [*labels_of(2)[:5], Label("unknown", 0, 1), Label("gone", 3, 0)], NOW + 4000)
    found = known(see(Tracker("iris", file), NOW))
    assert (found.labels, found.late, found.unmatched) == (5, 5, 2)


def test_the_window_forgets(file: Path) -> None:
    tracker = Tracker("iris", file)
    see(tracker, NOW)
    for second in range(25):
        wrong = [labelled(f"w{second}.{i}", 1, 0) for i in range(100)]
        see(tracker, NOW + second, labels=wrong)
    for second in range(20):
        right = [labelled(f"r{second}.{i}", 1, 1) for i in range(100)]
        see(tracker, NOW + 30 + second, labels=right)
    found = known(see(tracker, NOW + 60))
    assert found.labels == WINDOW
    assert values(found.figures)["accuracy"] == 1.0


def test_a_burst_of_labels_is_read_from_the_file(file: Path) -> None:
    """The reader tells of 500 at once: what it left out is on file."""
    write(file, [recorded(f"b{i}", [1] * 100) for i in range(15)])
    tracker, reader = Tracker("iris", file), Reader(file, CANCER.signature)
    reader.news()
    see(tracker, NOW)
    add_labels(file, [Label(f"b{i}", row, 1) for i in range(15) for row in range(100)], NOW)
    labels = reader.news()[1]
    reader.close()
    assert len(labels) == 500
    assert known(see(tracker, NOW + FIGURES_S, labels=labels)).labels == 1500


def test_versions_are_told_apart_during_a_canary(file: Path) -> None:
    write(file, requests(15) + requests(15, start=15, version=2))
    add_labels(file, [*labels_of(15), *labels_of(15, start=15, flip=True)], NOW)
    found = known(see(Tracker("iris", file), NOW))
    champion, canary = found.versions
    assert (champion.version, canary.version) == (1, 2)
    assert (champion.labels, canary.labels, champion.answered) == (150, 150, 150)
    assert values(champion.figures)["accuracy"] > 0.8
    assert values(canary.figures)["accuracy"] < 0.2
    assert values(found.figures)["accuracy"] == pytest.approx(
        (values(champion.figures)["accuracy"] + values(canary.figures)["accuracy"]) / 2
    )
    assert champion.estimated
    assert champion.estimated[0].estimated


def test_labels_stay_where_a_version_that_answers_alike_becomes_the_champion(file: Path) -> None:
    write(file, requests(5))
    add_labels(file, labels_of(5), NOW)
    tracker = Tracker("iris", file)
    known(see(tracker, NOW))
    second = msgspec.structs.replace(CANCER, number=2)
    came = [labelled("new", 1, 1, version=2)]
    found = known(see(tracker, NOW + FIGURES_S, second, labels=came))
    assert [(one.version, one.labels) for one in found.versions] == [(1, 50), (2, 1)]
    assert found.labels == 51


def test_the_champion_is_always_among_the_versions(file: Path) -> None:
    write(file, [one for number in range(1, 8) for one in requests(1, start=number, version=number)])
    found = known(see(Tracker("iris", file), NOW))
    assert [one.version for one in found.versions] == [1, 5, 6, 7]
    assert found.answered == 70


def test_slices_are_found_once_a_minute(file: Path) -> None:
    write(file, requests(30))
    left = [Label(f"r{i}", row, int(row % 2 == 0)) for i in range(30) for row in range(10)]
    tracker = Tracker("iris", file)
    reader = Reader(file, CANCER.signature)
    reader.news()
    assert known(see(tracker, NOW)).slices == ()
    add_labels(file, left, NOW)
    known(see(tracker, NOW + FIGURES_S, labels=reader.news()[1]))
    found = known(see(tracker, NOW + SLICES_S + FIGURES_S))
    reader.close()
    assert ("side", "left") in {(one.column, one.value) for one in found.slices}


def test_the_reference_says_which_classes_there_are(file: Path) -> None:
    version = model(columns=COLUMNS)  # no probabilities
    reference = Reference({}, {"predictions": [0, 1, 2, 1]})
    tracker = Tracker("iris", file)
    see(tracker, NOW, version, reference=reference)
    came = [labelled(str(i), i % 2, i % 2) for i in range(20)]
    found = known(see(tracker, NOW + FIGURES_S, version, labels=came, reference=reference))
    # Of three classes two were seen: these are averages over them, and none of the two is positive.
    assert values(found.figures)["f1"] == 1.0
    wrong = [labelled(f"w{i}", 0, 1) for i in range(5)]
    found = known(see(tracker, NOW + 2 * FIGURES_S, version, labels=wrong, reference=reference))
    truth, answer = np.array([*[i % 2 for i in range(20)], *[1] * 5]), np.array([*[i % 2 for i in range(20)], *[0] * 5])
    assert values(found.figures)["f1"] == pytest.approx(f1_score(truth, answer, average="macro"))


def test_a_regression_is_told_in_its_units(file: Path) -> None:
    version = model("regression", dtype="float64")
    tracker = Tracker("iris", file)
    see(tracker, NOW, version)
    came = [labelled(str(i), float(i), float(i + 1)) for i in range(20)]
    found = known(see(tracker, NOW + FIGURES_S, version, labels=came))
    assert values(found.figures)["mae"] == 1.0
    assert (found.confusion, found.estimated) == (None, ())


def test_all_slices_of_a_column_are_a_job(file: Path) -> None:
    write(file, requests(30))
    add_labels(file, labels_of(30), NOW)
    told = main({"file": str(file), "version": msgspec.to_builtins(CANCER), "column": "side"})
    assert [(one["value"], one["labels"]) for one in told["slices"]] == [("right", 150), ("left", 150)]
    bins = slices_by(file, CANCER, "radius")
    assert len(bins) == 5
    with pytest.raises(InvalidOption, match="no column") as caught:
        slices_by(file, CANCER, "radios")
    assert "radius" in str(caught.value)
    assert slices_by(file.with_name("none.sqlite"), CANCER, "radius") == ()


def test_a_file_that_cannot_be_read_is_read_the_next_time(file: Path) -> None:
    file.write_bytes(b"this is no database, but a text that is long enough to be taken for one" * 20)
    tracker = Tracker("iris", file)
    with pytest.raises(sqlite3.Error):
        see(tracker, NOW)
    file.unlink()
    write(file, requests(3))
    assert known(see(tracker, NOW + 1)).answered == 30
