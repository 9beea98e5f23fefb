"""Whether answers are better than the champion's beyond doubt, by more than what the person calls no difference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autodeploy_magic.operate.retune.gate.as_good import (
    discordant,
    f1_falls,
    no_larger_errors,
    no_more_errors,
    no_worse_f1,
    no_worse_log_loss,
)
from autodeploy_magic.operate.retune.gate.case import Case
from autodeploy_magic.operate.retune.gate.paired import mcnemar_p, mean_p
from autodeploy_magic.retuning import Check

__all__ = ["better"]


def better(case: Case) -> Iterator[Check]:
    """What it claims must be better beyond doubt, by more than the difference that the person calls none."""
    if case.sides.scored is None or case.labelled < 2:
        yield Check(name="quality", passed=False, text="no labels that show whether it is better")
        return
    kind = case.sides.scored[0].kind
    if case.claims == "log_loss":
        yield _surer(case)
        yield no_more_errors(case) if kind != "numbers" else no_larger_errors(case)
    elif case.claims == "f1" and kind == "classes":
        yield _better_f1(case)
    elif kind == "numbers":
        yield _smaller_errors(case)
    else:
        yield _fewer_errors(case)
    if case.claims != "log_loss" and kind == "classes":
        for check in (no_worse_log_loss(case), no_worse_f1(case) if case.claims != "f1" else None):
            if check is not None:
                yield check


def _fewer_errors(case: Case) -> Check:
    worse, better = discordant(case)
    gain = (better - worse) / case.labelled
    p = mcnemar_p(worse, better)
    text = (
        f"accuracy {gain:+.2%} over {case.labelled:,} labels: {better} rows are right that were wrong, {worse} wrong"
        f" that were right; p = {p:.2g} (asked: {case.chance:.2g}, and at least {case.max_loss:+.2%})"
    )
    return Check(name="quality", passed=p <= case.chance and gain >= case.max_loss, text=text)


def _smaller_errors(case: Case) -> Check:
    assert case.sides.scored is not None
    a, b = (side.loss for side in case.sides.scored)
    gain = 1 - float(b.mean()) / float(a.mean()) if a.mean() > 0 else 0.0
    squares = [float(np.sqrt(((side.truth - side.answer) ** 2).mean())) for side in case.sides.scored]
    p = mean_p(a - b)
    text = (
        f"MAE {a.mean():.4g} → {b.mean():.4g} ({-gain:+.1%}) over {len(a):,} labels, RMSE {squares[0]:.4g} →"
        f" {squares[1]:.4g}; p = {p:.2g} (asked: {case.chance:.2g}, and at least {-case.max_loss:+.1%})"
    )
    passed = p <= case.chance and gain >= case.max_loss and squares[1] <= squares[0] * (1 + case.max_loss)
    return Check(name="quality", passed=passed, text=text)


def _surer(case: Case) -> Check:
    """A calibration: the log loss must be smaller beyond doubt, by a twentieth of itself."""
    if case.sides.losses is None:
        return Check(name="calibration", passed=False, text="no probabilities with labels that show it")
    a, b = case.sides.losses
    p, gain = mean_p(a - b), 1 - float(b.mean()) / max(float(a.mean()), 1e-12)
    text = (
        f"log loss {a.mean():.4f} → {b.mean():.4f} over {len(a):,} labels; p = {p:.2g} (asked: {case.chance:.2g}, and"
        " 5 % less)"
    )
    return Check(name="calibration", passed=p <= case.chance and gain >= 0.05, text=text)


def _better_f1(case: Case) -> Check:
    """A threshold: F1 must grow beyond doubt; the accuracy may fall by half as much."""
    from scipy.stats import norm

    (before, after), spread = f1_falls(case)
    worse, better = discordant(case)
    lost, gain = (worse - better) / case.labelled, after - before
    low = gain - float(norm.isf(case.chance)) * spread
    text = (
        f"F1 {before:.3f} → {after:.3f} over {case.labelled:,} labels, surely {low:+.3f} (asked: more than 0, and at"
        f" least {max(case.max_loss, 0.01):+.3f}); accuracy {-lost:+.2%}"
    )
    passed = low > 0 and gain >= max(case.max_loss, 0.01) and lost <= max(gain / 2, case.max_loss)
    return Check(name="quality", passed=passed, text=text)
