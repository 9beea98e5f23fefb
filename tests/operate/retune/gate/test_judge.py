"""The gate: what is as good passes, and what is bad never does, however it is bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contested import Array, Contest, classes, fell_by, figures
from labelled import model

ROWS = 800


@pytest.fixture(scope="module")
def answers() -> tuple[Array, Array, Array]:
    return classes(ROWS)


@pytest.fixture
def contest(tmp_path: Path, answers: tuple[Array, Array, Array]) -> Contest:
    truth, said, probabilities = answers
    return Contest(tmp_path, {"predictions": said.tolist(), "probabilities": probabilities.tolist()}, truth.tolist())


def outputs(said: Array, probabilities: Array | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"predictions": said.tolist()}
    return found if probabilities is None else found | {"probabilities": probabilities.tolist()}


def from_scores(scores: Array) -> dict[str, Any]:
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return outputs(probabilities.argmax(axis=1), probabilities)


def test_what_is_as_good_and_faster_passes(contest: Contest, answers: tuple[Array, Array, Array]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.02, answers[2].shape)
    verdict = contest.judge(from_scores(np.log(answers[2]) + noise))
    assert fell_by(verdict) == set()
    found = figures(verdict)
    assert found.metric == "accuracy"
    assert found.labelled == found.rows == ROWS
    assert found.value is not None
    assert found.low is not None
    assert found.low < found.value < 1
    assert found.agreement is not None
    assert found.agreement > 0.995
    assert {"accuracy", "f1", "log_loss"} <= found.metrics.keys()
    assert "loss" in verdict["reason"]


def test_of_the_champion_itself_only_figures_are_told(contest: Contest) -> None:
    verdict = contest.judge({}, state="champion")
    assert (verdict["checks"], verdict["passed"], verdict["reason"]) == ([], True, "")
    assert figures(verdict).agreement == 1.0


def constant(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return outputs(np.zeros_like(said), np.tile(probabilities.mean(axis=0), (len(said), 1)))


def shuffled(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return outputs((said + 1) % 3, np.roll(probabilities, 1, axis=1))


def columns_of_probabilities_swapped(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return outputs(said, probabilities[:, [1, 0, 2]])


def probabilities_destroyed(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return outputs(said, np.where(np.eye(3)[said] > 0, 0.34, 0.33))


def too_sure(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return outputs(said, np.eye(3)[said])


def right_only_at_first(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    late = np.arange(len(said)) >= 500
    return outputs(np.where(late, 0, said), np.where(late[:, None], np.eye(3)[0], probabilities))


def a_row_without_a_number(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    found = outputs(said, probabilities)
    found["probabilities"][700][1] = None
    return found


def a_row_without_an_answer(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    found = outputs(said, probabilities)
    found["predictions"][3] = None
    return found


def another_width(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return outputs(said, np.hstack([probabilities, np.zeros((len(said), 1))]))


def texts_for_numbers(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return {"predictions": [str(one) for one in said], "probabilities": probabilities.tolist()}


def one_class_given_up(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    return outputs(np.where(said == 2, 0, said), probabilities)


def two_points_worse(truth: Array, said: Array, probabilities: Array) -> dict[str, Any]:
    worse = np.random.default_rng(5).random(len(said)) < 0.02
    return outputs(np.where(worse, (said + 1) % 3, said), probabilities)


BAD = [
    constant,
    shuffled,
    columns_of_probabilities_swapped,
    probabilities_destroyed,
    right_only_at_first,
    a_row_without_a_number,
    a_row_without_an_answer,
    another_width,
    texts_for_numbers,
    one_class_given_up,
    two_points_worse,
]
Bad = Callable[[Array, Array, Array], dict[str, Any]]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
@pytest.mark.parametrize("family", ["run", "smaller", "better"])
@pytest.mark.parametrize("known", ["labels", "few labels", "no labels"])
def test_a_bad_candidate_never_passes(
    tmp_path: Path, answers: tuple[Array, Array, Array], bad: Bad, family: Any, known: str
) -> None:
    truth, said, probabilities = answers
    labels: list[Any] = truth.tolist()
    kept = {"labels": ROWS, "few labels": 20, "no labels": 0}[known]
    contest = Contest(tmp_path, outputs(said, probabilities), labels[:kept] + [None] * (ROWS - kept))
    verdict = contest.judge(bad(*answers), family, max_loss=0.01)
    assert fell_by(verdict)
    assert verdict["reason"]


@pytest.mark.parametrize("family", ["run", "better"])
def test_probabilities_that_are_too_sure_of_themselves_fall(
    contest: Contest, answers: tuple[Array, Array, Array], family: Any
) -> None:
    assert fell_by(contest.judge(too_sure(*answers), family)) & {"probabilities", "log loss", "quality"}


def test_what_fails_on_a_row_or_answers_otherwise_alone_falls(contest: Contest) -> None:
    assert fell_by(contest.judge({}, failed=[[4, "ValueError: no"]])) == {"answers"}
    assert fell_by(contest.judge({}, alike=0.5)) == {"answers"}


@pytest.mark.parametrize(
    ("cost", "wanted"),
    [
        ({"cpu_s": 2e-3}, {"cost"}),
        ({"cpu_s": 1e-3}, {"cost"}),
        ({"cpu_s": 1.05e-3, "size_bytes": 250_000}, set()),
        ({"cpu_s": 4e-3, "size_bytes": 250_000}, {"cost"}),
        ({"cpu_s": 0.3e-3, "size_bytes": 3_000_000}, set()),
        ({"cpu_s": 0.5e-3, "pace_s": 0.5e-3}, {"cost"}),  # measured on a machine that was twice as fast then
        ({"cpu_s": None, "size_bytes": 1}, {"cost"}),
    ],
)
def test_what_is_neither_faster_nor_smaller_falls(contest: Contest, cost: dict[str, Any], wanted: set[str]) -> None:
    assert fell_by(contest.judge({}, **cost)) == wanted


def test_a_gain_that_no_request_would_notice_is_none(contest: Contest) -> None:
    assert fell_by(contest.judge({}, champion_cpu_s=9e-6, cpu_s=3e-6)) == {"cost"}
    assert fell_by(contest.judge({}, champion_cpu_s=9e-4, cpu_s=3e-4)) == set()


def test_memory_has_a_limit(contest: Contest) -> None:
    assert fell_by(contest.judge({}, memory_bytes=5e7)) == {"memory"}
    assert fell_by(contest.judge({}, memory_bytes=2e8)) == set()


@pytest.mark.parametrize("family", ["run", "smaller", "better"])
def test_nothing_is_proved_by_a_handful_of_rows(tmp_path: Path, family: Any) -> None:
    truth, said, probabilities = classes(6, right=1.0)
    contest = Contest(tmp_path, outputs(said, probabilities), truth.tolist())
    assert "rows" in fell_by(contest.judge({}, family))


def test_a_few_labels_that_agree_do_not_prove_it_where_answers_move(tmp_path: Path) -> None:
    truth, said, probabilities = classes(120, 3)
    contest = Contest(tmp_path, outputs(said, probabilities), truth.tolist())
    noise = np.random.default_rng(0).normal(0, 0.6, probabilities.shape)
    assert "quality" in fell_by(contest.judge(from_scores(np.log(probabilities) + noise)))


def test_probabilities_that_hardly_move_prove_it_by_a_hundred_rows(tmp_path: Path) -> None:
    _, said, probabilities = classes(120, 3)
    contest = Contest(tmp_path, outputs(said, probabilities), [None] * 120)
    noise = np.random.default_rng(0).normal(0, 0.01, probabilities.shape)
    assert fell_by(contest.judge(from_scores(np.log(probabilities) + noise))) == set()


def test_a_champion_that_labels_refute_is_not_believed(tmp_path: Path) -> None:
    """It says 0.5 and is always right: by its own words a change of 40 answers in 3 000 costs next to nothing."""
    truth = np.random.default_rng(0).integers(0, 2, 3000)
    unsure = np.where(np.eye(2)[truth] > 0, 0.51, 0.49)
    other = truth.copy()
    other[:3000:75] = 1 - other[:3000:75]
    moved = np.where(np.eye(2)[other] > 0, 0.51, 0.49)
    contest = Contest(tmp_path, outputs(truth, unsure), [None] * 3000)
    assert fell_by(contest.judge(outputs(other, moved), max_loss=0.004)) == set()
    for labels in (2999, 600):  # enough to see it; of so few that they prove nothing themselves
        known = Contest(tmp_path, outputs(truth, unsure), [*truth[:labels].tolist(), *[None] * (3000 - labels)])
        assert fell_by(known.judge(outputs(other, moved), max_loss=0.004)) >= {"quality"}


def test_rows_without_labels_bound_the_loss_that_few_labels_cannot(tmp_path: Path) -> None:
    truth, said, _ = classes(2000, 4)
    labels: list[Any] = [*truth[:50].tolist(), *[None] * 1950]
    contest = Contest(tmp_path, outputs(said), labels, model())
    almost = said.copy()
    almost[[100, 900]] = (almost[[100, 900]] + 1) % 3
    verdict = contest.judge(outputs(almost))
    assert fell_by(verdict) == set()
    assert "2 of 2,000 answers differ" in verdict["reason"]
    few = Contest(tmp_path, outputs(said[:300]), labels[:300], model())
    assert fell_by(few.judge(outputs(almost[:300]))) == {"quality"}


def test_a_rare_class_is_not_given_up_for_accuracy(tmp_path: Path) -> None:
    truth, said, _ = classes(2000, 6, kinds=2, right=0.995, shares=[0.996, 0.004])
    contest = Contest(tmp_path, outputs(said), truth.tolist(), model())
    verdict = contest.judge(outputs(np.zeros_like(said)), max_loss=0.02)
    assert fell_by(verdict) & {"agreement", "F1"}


def test_what_is_right_where_the_champion_was_wrong_is_better(tmp_path: Path) -> None:
    truth, said, probabilities = classes(600, 7, right=0.8)
    contest = Contest(tmp_path, outputs(said, probabilities), truth.tolist())
    better = np.where(np.random.default_rng(0).random(600) < 0.5, truth, said)
    moved = np.where(np.eye(3)[better] > 0, 0.9, 0.05)
    assert fell_by(contest.judge(outputs(better, moved), "better", tried=8, cpu_s=1.5e-3)) == set()
    assert fell_by(contest.judge(outputs(better, moved), "better", cpu_s=3e-3)) == {"cost"}
    assert "quality" in fell_by(contest.judge({}, "better"))


def test_chance_does_not_make_a_candidate_better(tmp_path: Path) -> None:
    taken = 0
    for seed in range(40):
        truth, said, _ = classes(300, seed, right=0.9)
        _, other, _ = classes(300, seed + 1000, right=0.9)
        chance = np.random.default_rng(seed)
        other = np.where(chance.random(300) < 0.9, truth, (truth + 1) % 3)
        contest = Contest(tmp_path, outputs(said), truth.tolist(), model())
        taken += contest.judge(outputs(other), "better", tried=4)["passed"]
    assert taken == 0


def test_only_labels_since_the_change_of_meaning_count(tmp_path: Path) -> None:
    """The champion was right until 400 rows ago; what learned the new meaning is wrong about the old rows."""
    truth = np.random.default_rng(0).integers(0, 2, 1600)
    now = np.arange(1600) < 400  # the newest come first
    said = np.where(now, 1 - truth, truth)
    contest = Contest(tmp_path, outputs(said), truth.tolist(), model())
    learned = np.where(now, truth, 1 - truth)
    verdict = contest.judge(outputs(learned), "better", tried=5)
    assert fell_by(verdict) == set()
    assert 350 <= figures(verdict).labelled <= 450
    assert fell_by(contest.judge(outputs(1 - learned), "better"))  # the champion again


def numbers(rows: int, seed: int = 0) -> tuple[Array, Array]:
    chance = np.random.default_rng(seed)
    truth = chance.normal(50, 10, rows)
    return truth, truth + chance.normal(0, 2, rows)


REGRESSION = model("regression", dtype="float64")


def test_numbers_may_move_within_the_budget(tmp_path: Path) -> None:
    truth, said = numbers(800)
    contest = Contest(tmp_path, outputs(said), truth.tolist(), REGRESSION)
    near = said + np.random.default_rng(1).normal(0, 0.02, 800)
    verdict = contest.judge(outputs(near))
    assert fell_by(verdict) == set()
    assert figures(verdict).metric == "mae"
    unknown = Contest(tmp_path, outputs(said), [None] * 800, REGRESSION)
    assert fell_by(unknown.judge(outputs(near))) == set()


@pytest.mark.parametrize("known", [800, 25, 0])
@pytest.mark.parametrize(
    "bad",
    [
        lambda said: np.full_like(said, said.mean()),
        lambda said: said[::-1],
        lambda said: said + 1.0,
        lambda said: said * 1.1,
        lambda said: np.where(np.arange(len(said)) % 50 == 0, said + 40, said),
        lambda said: np.round(said, -1),
    ],
    ids=["constant", "turned", "shifted", "scaled", "outliers", "coarse"],
)
def test_bad_numbers_never_pass(tmp_path: Path, bad: Callable[[Array], Array], known: int) -> None:
    truth, said = numbers(800)
    contest = Contest(tmp_path, outputs(said), [*truth[:known].tolist(), *[None] * (800 - known)], REGRESSION)
    for family in ("run", "smaller", "better"):
        assert fell_by(contest.judge(outputs(bad(said)), family))  # type: ignore[arg-type]


def test_smaller_errors_are_better(tmp_path: Path) -> None:
    truth, said = numbers(400)
    contest = Contest(tmp_path, outputs(said), truth.tolist(), REGRESSION)
    assert fell_by(contest.judge(outputs((truth + said) / 2), "better", tried=8)) == set()
    again = truth + np.random.default_rng(9).normal(0, 2, 400)
    assert "quality" in fell_by(contest.judge(outputs(again), "better", tried=8))


def test_vectors_are_compared_by_their_cosine(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 128))
    version = model("embedding", dtype="float32", shape=(128,))
    contest = Contest(tmp_path, outputs(vectors), [None] * 200, version)

    def moved(by: float) -> dict[str, Any]:
        return outputs(vectors + np.random.default_rng(1).normal(0, by, vectors.shape))

    verdict = contest.judge(moved(0.1))
    assert fell_by(verdict) == set()
    found = figures(verdict).cosine
    assert found is not None
    assert 0.99 < found < 1
    assert fell_by(contest.judge(moved(0.3))) == {"cosine"}
    assert fell_by(contest.judge(outputs(vectors[::-1]))) == {"cosine"}
    assert fell_by(contest.judge(outputs(np.zeros_like(vectors)))) == {"cosine"}
    part = vectors.copy()
    part[5] = -part[5]
    part[6:9] = 0
    assert fell_by(contest.judge(outputs(part))) == {"cosine"}


def test_texts_and_objects_must_be_equal(tmp_path: Path) -> None:
    version = model("function", dtype="object")
    said: list[Any] = [{"kind": f"k{i % 7}", "words": ["a", f"w{i}"]} for i in range(1000)]
    contest = Contest(tmp_path, {"predictions": said}, [None] * 1000, version)
    assert fell_by(contest.judge({"predictions": list(said)})) == set()
    other = [{**one, "kind": "k0"} if i % 20 == 0 else one for i, one in enumerate(said)]
    assert "quality" in fell_by(contest.judge({"predictions": other}))


def test_scores_of_a_network_are_classes_where_labels_are(tmp_path: Path) -> None:
    truth, _, probabilities = classes(1500, 2)
    version = model("function", dtype="float32", shape=(3,))
    scores = np.log(probabilities)
    contest = Contest(tmp_path, outputs(scores), truth.tolist(), version)
    near = scores + np.random.default_rng(0).normal(0, 0.01, scores.shape)
    verdict = contest.judge(outputs(near))
    assert fell_by(verdict) == set()
    assert figures(verdict).metric == "accuracy"
    assert fell_by(contest.judge(outputs(scores[:, ::-1])))


def test_a_calibration_must_be_surer_and_as_right(tmp_path: Path) -> None:
    truth, said, probabilities = classes(1500, 8, right=0.8)
    contest = Contest(tmp_path, outputs(said, probabilities), truth.tolist())
    soft = probabilities**0.6
    soft /= soft.sum(axis=1, keepdims=True)
    assert fell_by(contest.judge(outputs(said, soft), "better", claims="log_loss", tried=6)) == set()
    sharp = probabilities**3
    sharp /= sharp.sum(axis=1, keepdims=True)
    assert fell_by(contest.judge(outputs(said, sharp), "better", claims="log_loss")) == {"calibration"}
    uniform = np.full_like(probabilities, 1 / 3)
    assert fell_by(contest.judge(outputs(np.zeros_like(said), uniform), "better", claims="log_loss"))


def test_a_threshold_must_bring_more_f1(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    truth = (chance.random(2000) < 0.1).astype(int)
    score = chance.normal(0, 1, 2000) + 2.0 * truth
    contest = Contest(tmp_path, outputs((score > 3.0).astype(int)), truth.tolist(), model())
    better = contest.judge(outputs((score > 1.6).astype(int)), "better", claims="f1")
    assert fell_by(better) == set()
    assert fell_by(contest.judge(outputs((score > -1).astype(int)), "better", claims="f1"))
