"""With labels: how good the packaged version is on the sample, beside the live object."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.capture import Captured
from autodeploy_magic.build.sample import take
from autodeploy_magic.build.verify import Verdict
from autodeploy_magic.wire import to_plain

__all__ = ["metric_words"]


def metric_words(captured: Captured, winner: Verdict) -> str:
    """Return for example "; accuracy 0.967 on the sample (live 0.967)"; "" where there are no labels that fit."""
    labels = captured.request.labels
    if labels is None:
        return ""
    truth = to_plain(take(labels, captured.row_numbers))
    metric = _r_squared if captured.task == "regression" else _accuracy
    name = "R²" if captured.task == "regression" else "accuracy"
    packaged = metric(truth, winner.answers["predictions"])
    live = metric(truth, captured.live.plain["predictions"])
    if packaged is None or live is None:
        return ""
    return f"; {name} {packaged:.4g} on the sample (live {live:.4g})"


def _accuracy(truth: list[Any], found: Any) -> float | None:
    if not isinstance(found, list) or len(found) != len(truth) or any(isinstance(value, list) for value in found):
        return None  # a network's probabilities are no labels
    return float(sum(a == b for a, b in zip(truth, found, strict=True))) / len(truth)


def _r_squared(truth: list[Any], found: Any) -> float | None:
    """1 - the squared error over the variance of the truth, over all targets."""
    import numpy as np

    try:
        y, p = np.array(truth, dtype=float), np.array(found, dtype=float)
    except (TypeError, ValueError):
        return None
    if y.shape != p.shape:
        return None
    total = float(((y - y.mean(axis=0)) ** 2).sum())
    return 1 - float(((y - p) ** 2).sum()) / total if total else None
