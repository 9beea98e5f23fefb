"""The figures of labelled rows, each with its 95 % interval: what scikit-learn's metrics of the same names give.

Of two classes, precision, recall and F1 are of the positive one: the second in order (1 of 0 and 1, True of False and
True, "yes" of "no" and "yes"), which is `classes_[1]` of a scikit-learn classifier, and the class that the second
column of its probabilities and its decision function are about. Of more classes they are macro averages, in which each
class that was true or answered counts the same, and 0 where it never was the other (`zero_division=0`).
Of several targets the errors and R² are averages over them (`multioutput="uniform_average"`).

A figure that nothing says anything about (precision where the positive class was never answered) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.health import Confusion, Figure
from autodeploy_magic.operate.quality.intervals import Interval, by_influence, f_one, proportion

__all__ = ["MOST_CLASSES", "class_figures", "confusion_of", "in_order", "number_figures", "share_figures"]

MOST_CLASSES = 20
"""Classes of a confusion table; of more, those that were seen least are one."""

Array = NDArray[Any]


def in_order(names: Sequence[str]) -> list[str]:
    """Class names as scikit-learn orders classes: numbers by size, anything else by letters."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return sorted(names)
    return sorted(names, key=float) if all(map(math.isfinite, numbers)) else sorted(names)


def share_figures(right: Array) -> tuple[Figure, ...]:
    """The accuracy of rows that are right or wrong."""
    if not len(right):
        return ()
    hits = int(np.count_nonzero(right))
    return (_figure("accuracy", hits / len(right), proportion(hits, len(right)), len(right)),)


def class_figures(truth: Array, answer: Array, classes: int, positive: int | None) -> tuple[Figure, ...]:
    """Accuracy, precision, recall and F1 of rows whose classes are numbered below `classes`.

    `positive` is the number of the positive class of two, None for macro averages. Of one class there is no more to
    tell than the accuracy.
    """
    accuracy = share_figures(truth == answer)
    if not accuracy or classes < 2:
        return accuracy
    return accuracy + (
        _averages(truth, answer, classes) if positive is None else _positive(truth == positive, answer == positive)
    )


def number_figures(truth: Array, answer: Array) -> tuple[Figure, ...]:
    """MAE, RMSE and R² of rows of targets, both of shape (rows, targets)."""
    if not len(truth):
        return ()
    with np.errstate(all="ignore"):  # what is too large, or too small, has no figure
        found = _of_numbers(truth, answer)
    return tuple(one for one in found if math.isfinite(one.value))


def _of_numbers(truth: Array, answer: Array) -> list[Figure]:
    rows = len(truth)
    error = answer - truth
    size, square = np.abs(error), error * error
    mae, mse = size.mean(), square.mean(axis=0)
    rmse = np.sqrt(mse)
    each = np.divide(square, 2 * rmse, out=np.zeros_like(square), where=rmse > 0).mean(axis=1)
    found = [
        _figure("mae", float(mae), by_influence(float(mae), size.mean(axis=1), "error"), rows),
        _figure("rmse", float(rmse.mean()), by_influence(float(rmse.mean()), each, "error"), rows),
    ]
    spread = (truth - truth.mean(axis=0)) ** 2
    variance = spread.mean(axis=0)
    if rows > 1 and (variance > 0).all():
        ratio = mse / variance  # 1 - R², of each target
        influence = (square / variance - ratio * spread / variance).mean(axis=1)
        value = float(1 - ratio.mean())
        found.append(_figure("r2", value, by_influence(value, influence, "rest"), rows))
    return found


def confusion_of(truth: Array, answer: Array, names: Sequence[str]) -> Confusion | None:
    """How often each class was answered for each true one; None for no rows."""
    if not len(truth):
        return None
    size = len(names)
    shown = list(names)
    if size > MOST_CLASSES:
        seen = np.bincount(truth, minlength=size) + np.bincount(answer, minlength=size)
        kept = np.sort(np.argsort(-seen, kind="stable")[: MOST_CLASSES - 1])
        place = np.full(size, MOST_CLASSES - 1)
        place[kept] = np.arange(len(kept))
        truth, answer, size = place[truth], place[answer], MOST_CLASSES
        shown = [names[i] for i in kept] + ["others"]
    counts = np.bincount(truth * size + answer, minlength=size * size).reshape(size, size)
    return Confusion(classes=tuple(shown), counts=tuple(tuple(row) for row in counts.tolist()))


def _positive(truth: Array, answer: Array) -> tuple[Figure, ...]:
    rows = len(truth)
    hits = int(np.count_nonzero(truth & answer))
    answered, true = int(np.count_nonzero(answer)), int(np.count_nonzero(truth))
    found = []
    if answered:
        found.append(_figure("precision", hits / answered, proportion(hits, answered), rows))
    if true:
        found.append(_figure("recall", hits / true, proportion(hits, true), rows))
    if answered + true:
        found.append(_figure("f1", 2 * hits / (answered + true), f_one(hits, answered + true - 2 * hits), rows))
    return tuple(found)


def _averages(truth: Array, answer: Array, classes: int) -> tuple[Figure, ...]:
    rows, right = len(truth), truth == answer
    hits = np.bincount(truth[right], minlength=classes) / rows
    true, answered = np.bincount(truth, minlength=classes) / rows, np.bincount(answer, minlength=classes) / rows
    there = int(np.count_nonzero(true + answered))
    precision, recall, f1 = _over(hits, answered), _over(hits, true), _over(2 * hits, true + answered)
    per_answered, per_true, per_both = (_over(1.0, share) for share in (answered, true, true + answered))
    influences = {
        "precision": (precision, (right - precision[answer]) * per_answered[answer]),
        "recall": (recall, (right - recall[truth]) * per_true[truth]),
        "f1": (f1, (right - f1[truth]) * per_both[truth] + (right - f1[answer]) * per_both[answer]),
    }
    return tuple(
        _figure(metric, float(each.sum() / there), by_influence(float(each.sum() / there), of / there, "share"), rows)
        for metric, (each, of) in influences.items()
    )


def _over(a: Array | float, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros(len(b)), where=b > 0)


def _figure(metric: str, value: float, interval: Interval | None, labels: int) -> Figure:
    low, high = interval if interval is not None else (None, None)
    return Figure(metric=metric, value=value, low=low, high=high, labels=labels)
