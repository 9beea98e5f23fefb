"""Whether answers that may move within a budget are as good as the champion's: by labels, and beside its answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from autodeploy_magic.operate.retune.gate.case import CHANCE, LEAST_ROWS, Case
from autodeploy_magic.operate.retune.gate.paired import mean_p, most_loss, most_mean, most_share, resampled
from autodeploy_magic.retuning import Check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = [
    "as_good",
    "discordant",
    "f1_falls",
    "no_larger_errors",
    "no_more_errors",
    "no_worse_f1",
    "no_worse_log_loss",
]

COSINE = 0.99
"""Mean cosine with the champion's vectors: what plain dynamic int8 of a sentence transformer misses (0.961), and
per-channel int8 keeps (0.990)."""
MOVED = 10.0
"""Probabilities may move, on the mean over rows, by so many times the loss that is allowed: 0.05 at half a percent."""
AGREES = 10.0
"""And so much may the answers differ where labels show that they are as right."""
F1_DRAWS = 300
"""Resampled sets of rows: enough for a standard error, of which Efron and Tibshirani say 50 to 200."""
Z, Z_95 = 2.326, 1.645
"""The 99 % and the 95 % point of the normal distribution."""
FEW_OF_A_CLASS = 10
"""A class that the champion answers so often must still be answered for half of these rows."""


def as_good(case: Case) -> Iterator[Check]:
    """Answers may move within the budget."""
    kind = case.sides.kind
    if kind in ("classes", "equal"):
        yield no_more_errors(case)
        yield _agreement(case)
        if case.sides.moved is not None:
            yield _probabilities(case)
        losses = no_worse_log_loss(case)
        if losses is not None and case.sides.kind == "classes":
            yield losses
        second = no_worse_f1(case)
        if second is not None:
            yield second
    elif kind == "vectors":
        yield _cosine(case)
        if case.labelled:
            yield no_larger_errors(case)
    else:
        yield no_larger_errors(case)
        yield _agreement(case)


def no_more_errors(case: Case) -> Check:
    """The accuracy must not fall by more than the budget. One of three proofs does.

    By labels: the upper bound of the loss. By agreement: it cannot fall by more than the share of rows that are
    answered otherwise, and of these there may be more than of labelled ones. By probabilities: where the champion says
    0.51 and the challenger takes the class of 0.49, the champion itself expects a loss of 0.02 of a row, no more.
    """
    sides, budget = case.sides, case.max_loss
    found: list[str] = []
    seen = None
    if case.labelled:
        worse, better = discordant(case)
        seen = (worse - better) / case.labelled
        bound = most_loss(worse, better, case.labelled)
        found.append(f"by {case.labelled:,} labels a loss of {seen:+.2%}, at most {max(bound, 0.0):.2%}")
        if bound <= budget:
            return _quality(True, found, budget)
        if case.labelled >= LEAST_ROWS["better"] and seen > budget:
            return _quality(False, found, budget)
    differing = int(np.count_nonzero(~sides.same))
    bound = most_share(differing, sides.rows)
    found.append(f"{differing} of {sides.rows:,} answers differ, at most {bound:.2%}")
    if bound <= budget:
        return _quality(True, found, budget)
    expected = _expected_loss(case)
    if expected is not None:
        found.append(f"by the champion's probabilities a loss of at most {expected:.2%}")
        if expected <= budget and differing <= budget * AGREES * sides.rows:
            return _quality(True, found, budget)
    elif not case.labelled and not differing:
        found.append(f"{math.ceil(3 / budget):,} rows would show it")
    return _quality(False, found, budget)


def _quality(passed: bool, found: list[str], budget: float) -> Check:
    text = "; ".join(found) + f" (allowed: {budget:.2%})"
    return Check(name="quality", passed=passed, text=text)


def _expected_loss(case: Case) -> float | None:
    """The upper bound of the loss that the champion's own probabilities let expect.

    A row costs p(its answer) - p(the other answer), which is at most twice what a probability moved. An overconfident
    champion says more than it is; of an underconfident one labels show more loss than it expects, and then it is not
    believed. None where that is so, and where there are no probabilities.
    """
    sides = case.sides
    if sides.probabilities is None or sides.moved is None or sides.probabilities[0].shape[1] < 2:
        return None
    own, other = (np.nan_to_num(side) for side in sides.probabilities)
    if own.min() < -1e-6 or not np.allclose(own.sum(axis=1), 1.0, atol=1e-2):
        return None
    rows = np.arange(len(own))
    cost = own[rows, own.argmax(axis=1)] - own[rows, other.argmax(axis=1)]
    if sides.kind == "classes" and ((own.argmax(axis=1) == other.argmax(axis=1)) != sides.same).mean() > 1e-3:
        return None  # answers that are not the likeliest class: of a threshold, or of the person's own code
    if sides.scored is not None:
        labelled = sides.scored[0].slots
        worse, better = discordant(case)
        differing = np.count_nonzero(~sides.same[labelled])
        if worse - better - cost[labelled].sum() > Z_95 * math.sqrt(differing):
            return None
    return most_mean(cost, min(1.0, 2.0 * float(sides.moved.max()) + 1e-9))


def discordant(case: Case) -> tuple[int, int]:
    """Labelled rows that only the champion answers right, and that only the challenger does."""
    assert case.sides.scored is not None
    a, b = (side.loss > 0 for side in case.sides.scored)
    return int(np.count_nonzero(~a & b)), int(np.count_nonzero(a & ~b))


def _agreement(case: Case) -> Check:
    """Answers may differ on some rows, and no class may go under."""
    sides = case.sides
    share = float(sides.same.mean()) if sides.rows else 0.0
    least = 1.0 - (case.max_loss if case.family == "run" else min(0.5, max(case.max_loss * AGREES, 0.01)))
    text = f"{share:.2%} of {sides.rows:,} answers are the champion's"
    if sides.kind == "numbers":
        text += " to within 1 % of their spread"
        least = min(least, 0.9)
    lost = _lost_class(case)
    if lost:
        return Check(name="agreement", passed=False, text=f"{text}; {lost}")
    return Check(name="agreement", passed=share >= least, text=f"{text} (asked: {least:.1%})")


def _lost_class(case: Case) -> str:
    """A class that is no longer answered where the champion answers it; "" for none."""
    if case.sides.names is None:
        return ""
    ours, theirs = case.sides.names
    kept = Counter(a for a, b in zip(ours, theirs, strict=True) if a == b)
    for name, count in sorted(Counter(ours).items()):
        if count >= FEW_OF_A_CLASS and kept[name] < count / 2:
            return f"of {count} rows of the class {name[:40]!r} it answers {kept[name]} so"
    return ""


def _probabilities(case: Case) -> Check:
    moved = case.sides.moved
    assert moved is not None
    mean, largest = float(moved.mean()), float(moved.max())
    if case.family == "run":
        limit = 1e-3
        share = float((moved > limit).mean())
        text = (
            f"{share:.2%} of the rows have a probability that moved by more than {limit:g}, the most by {largest:.3f}"
        )
        return Check(name="probabilities", passed=share <= case.max_loss, text=f"{text} (allowed: {case.max_loss:.2%})")
    limit = min(0.2, MOVED * case.max_loss)
    text = f"probabilities moved by {mean:.4f} on the mean, by {largest:.3f} at most"
    return Check(name="probabilities", passed=mean <= limit, text=f"{text} (allowed on the mean: {limit:.3f})")


def no_worse_log_loss(case: Case) -> Check | None:
    """Whether the probabilities say less of the truth: a mean log loss that is larger beyond doubt, and clearly so."""
    if case.sides.losses is None or len(case.sides.losses[0]) < LEAST_ROWS["smaller"]:
        return None
    a, b = case.sides.losses
    rise = float((b - a).mean())
    allowed = max(0.01, 0.1 * float(a.mean()))
    sure = mean_p(b - a) < CHANCE
    text = f"log loss {a.mean():.4f} → {b.mean():.4f} over {len(a):,} labels (allowed: +{allowed:.3f})"
    return Check(name="log loss", passed=not (sure and rise > allowed), text=text)


def no_worse_f1(case: Case) -> Check | None:
    """F1 must not fall beyond doubt where the accuracy hardly moves: a rare class may be given up."""
    if case.sides.kind != "classes" or case.labelled < LEAST_ROWS["smaller"]:
        return None
    (before, after), spread = f1_falls(case)
    fall = before - after
    low = fall - Z * spread
    allowed = max(2 * case.max_loss, 0.01)
    text = f"F1 {before:.3f} → {after:.3f} (allowed: {-allowed:+.3f})"
    return Check(name="F1", passed=not (fall > allowed and low > 0), text=text)


def f1_falls(case: Case) -> tuple[tuple[float, float], float]:
    """F1 of both (of the positive class of two; else the macro average), and the standard error of their difference,
    by resampled rows.
    """
    assert case.sides.scored is not None
    a, b = case.sides.scored
    names = sorted({*a.classes, *b.classes})
    place = {name: i for i, name in enumerate(names)}

    def numbered(values: Array, classes: list[str]) -> Array:
        return np.take(np.array([place[name] for name in classes]), values.astype(int))

    truth = numbered(a.truth, a.classes)
    sides = numbered(a.answer, a.classes), numbered(b.answer, b.classes)
    positive = a.positive(case.sides.known, None)
    chosen = [place[positive]] if positive in place else sorted(set(truth.tolist()))

    def falls(rows: Array) -> Array:
        found: Array = _f1(truth[rows], sides[0][rows], chosen) - _f1(truth[rows], sides[1][rows], chosen)
        return found

    every = np.arange(len(truth))[None, :]
    before, after = (float(_f1(truth[every], side[every], chosen)[0]) for side in sides)
    return (before, after), float(resampled(falls, len(truth), case.seed, F1_DRAWS).std())


def _f1(truth: Array, answer: Array, classes: list[int]) -> Array:
    """The mean F1 of some classes, for each line of (draws, rows); 0 where a class is neither true nor answered."""
    total: Array = np.zeros(len(truth))
    for one in classes:
        true, said = truth == one, answer == one
        hits = (true & said).sum(axis=1)
        whole = true.sum(axis=1) + said.sum(axis=1)
        total += np.where(whole > 0, 2 * hits / np.maximum(whole, 1), 0.0)
    return total / max(1, len(classes))


def _cosine(case: Case) -> Check:
    cosine = case.sides.cosine
    assert cosine is not None
    mean = float(cosine.mean()) if len(cosine) else 0.0
    low = float(np.quantile(cosine, 0.01)) if len(cosine) else 0.0
    passed = mean >= COSINE and low >= 2 * COSINE - 1 - 0.03
    text = f"cosine with the champion's {mean:.4f} on the mean, {low:.3f} in the worst hundredth (asked: {COSINE})"
    return Check(name="cosine", passed=passed, text=text)


def no_larger_errors(case: Case) -> Check:
    """Numbers: the mean absolute error must not grow by more than the budget, as a share of itself.

    By labels: the upper bound over resampled rows; the root mean square may grow by twice as much. By the difference
    of the answers: an error cannot grow by more than the answers moved (the triangle inequality), relative to the
    champion's error where labels tell that, else to the spread of its answers.
    """
    budget, found = case.max_loss, []
    error = None
    if case.labelled and case.sides.scored is not None and case.sides.scored[0].kind == "numbers":
        a, b = (side.loss for side in case.sides.scored)
        error = float(a.mean())
        growth = float(b.mean()) / error - 1 if error > 0 else math.inf if b.mean() > 0 else 0.0
        squares = [float(np.sqrt(((side.truth - side.answer) ** 2).mean())) for side in case.sides.scored]
        drawn = resampled(
            lambda rows: b[rows].mean(axis=1) / np.maximum(a[rows].mean(axis=1), 1e-300) - 1, len(a), case.seed
        )
        bound = float(np.quantile(drawn, 0.95))
        found.append(f"by {len(a):,} labels the MAE grows by {growth:+.2%}, at most {bound:+.2%}")
        if squares[1] > squares[0] * (1 + 2 * budget) and squares[1] > squares[0] + 1e-12:
            found.append(f"the RMSE by {squares[1] / max(squares[0], 1e-300) - 1:+.2%}")
            return _quality(False, found, budget)
        if bound <= budget and len(a) >= LEAST_ROWS["smaller"]:
            return _quality(True, found, budget)
        if len(a) >= LEAST_ROWS["better"] and growth > budget:
            return _quality(False, found, budget)
    if case.sides.numbers is None or case.sides.kind == "vectors":
        return _quality(False, found or ["answers that no figure is had of"], budget)
    a, b = case.sides.numbers
    apart = np.abs(a - b)
    apart = np.where(np.isnan(apart), np.where(np.isnan(a) == np.isnan(b), 0.0, np.inf), apart)
    relative = (
        case.sides.gaps.mean(axis=1)
        if error is None
        else apart.mean(axis=1) / error
        if error > 0
        else apart.mean(axis=1)
    )
    if not np.isfinite(relative).all():
        return _quality(False, [*found, "some answers are no numbers"], budget)
    bound = float(np.quantile(resampled(lambda rows: relative[rows].mean(axis=1), len(relative), case.seed), 0.95))
    beside = "the spread of the champion's" if error is None else "its error"
    found.append(f"answers moved by {relative.mean():.2%} of {beside}, at most {bound:.2%}")
    return _quality(bound <= budget, found, budget)
