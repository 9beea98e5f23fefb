"""What the model's own confidence lets expect, before labels come (confidence-based performance estimation).

A model whose probabilities are calibrated is right as often as they say: the mean confidence of its answers is the
accuracy to be expected, and a row answered "yes" with 0.9 is 0.9 of a hit and 0.1 of a false alarm (CBPE, as NannyML
calls it). Where there are labels enough, the confidences are put right by them first: equal-sized bins of labelled
rows, made monotone (isotonic regression of the bins by pool-adjacent-violators), so that an overconfident model is not
believed. It cannot tell that what is asked means something else now (concept drift): only labels can.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.health import Figure
from autodeploy_magic.operate.quality.intervals import Z
from autodeploy_magic.operate.quality.pairs import Pairs
from autodeploy_magic.operate.quality.window import WINDOW
from autodeploy_magic.reservoir import Recorded

__all__ = ["ENOUGH_LABELS", "Calibration", "Expected", "calibrated"]

ENOUGH_LABELS = 200
"""Labelled rows with a confidence from which on they put the confidences right."""
LEAST = 20
"""Recorded rows that an estimate needs."""
_A_BIN = 40
_MOST_BINS = 25
_MOST_CLASSES = 20
"""Classes of which each one's probability is kept, for the F1 to be expected of more than two."""

Array = NDArray[Any]


class Calibration:
    """How often the model is right at a confidence, by `labels` labelled rows. `spread` is of a row about that."""

    def __init__(self, confidence: Array, right: Array) -> None:
        self.labels = len(confidence)
        order = np.argsort(confidence, kind="stable")
        bins = min(_MOST_BINS, max(5, len(order) // _A_BIN))
        starts = np.arange(bins) * len(order) // bins
        rows = np.diff(starts, append=len(order))
        self._at = np.add.reduceat(confidence[order], starts) / rows
        self._right = _monotone(np.add.reduceat(right[order], starts) / rows, rows)
        self.spread = float((right - self(confidence)).std())

    def __call__(self, confidence: Array) -> Array:
        return np.asarray(np.interp(confidence, self._at, self._right))


def calibrated(confidence: Array, right: Array) -> Calibration | None:
    """What labelled rows say of confidences; None where there are too few of them that have one."""
    known = ~np.isnan(confidence)
    return Calibration(confidence[known], right[known]) if known.sum() >= ENOUGH_LABELS else None


class Expected:
    """The confidences of the newest recorded rows, `WINDOW` of them, and what they let expect."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._next = 0
        self._confidence = np.full(WINDOW, np.nan)
        self._version = np.zeros(WINDOW, np.int32)
        self._answer = np.full(WINDOW, -1)
        self._names: dict[str, int] = {}
        self._probabilities: Array | None = None

    @property
    def classes(self) -> list[str]:
        """The classes that were answered, as far as the rows tell."""
        return list(self._names)

    def add(self, recorded: Recorded) -> None:
        """Take the rows of one request in."""
        predictions = recorded.outputs.get("predictions")
        probabilities = recorded.outputs.get("probabilities")
        for i in range(min(len(recorded.kept), WINDOW)):
            prediction = predictions[i] if predictions is not None and i < len(predictions) else None
            confidence = recorded.confidence[i] if i < len(recorded.confidence) else None
            if confidence is None:
                confidence = self._pairs.confidence(prediction)
            each = probabilities[i] if probabilities is not None and i < len(probabilities) else prediction
            self._put(recorded.version, prediction, confidence, each)

    def figures(self, calibration: Calibration | None, positive: str | None, version: int = 0) -> tuple[Figure, ...]:
        """The figures to be expected of all versions, or of one; () where no confidences are known.

        The accuracy has an interval: what the rows vary by, and the labels by which they were put right.
        """
        chosen = ~np.isnan(self._confidence)
        if version:
            chosen &= self._version == version
        count = int(chosen.sum())
        if count < LEAST:
            return ()
        told = self._confidence[chosen]
        sure = told if calibration is None else calibration(told)
        value = float(sure.mean())
        half = Z * math.sqrt(_variance(sure, calibration))
        labels = 0 if calibration is None else calibration.labels
        figures = {"accuracy": value}
        if positive is not None:
            figures |= self._of_two(sure, self._answer[chosen], positive)
        elif self._probabilities is not None and self._probabilities.shape[1] > 2:
            figures |= _of_more(self._probabilities[chosen], told, sure)
        return tuple(
            Figure(
                metric=metric,
                value=found,
                low=max(0.0, value - half) if metric == "accuracy" else None,
                high=min(1.0, value + half) if metric == "accuracy" else None,
                labels=labels,
                estimated=True,
            )
            for metric, found in figures.items()
        )

    def _put(self, version: int, prediction: Any, confidence: float | None, each: Any) -> None:
        place = self._next
        self._next = (place + 1) % WINDOW
        self._version[place] = version
        self._confidence[place] = np.nan if confidence is None else confidence
        answer = self._pairs.answer(prediction)
        known = answer is not None and (answer in self._names or len(self._names) < WINDOW)
        self._answer[place] = self._names.setdefault(answer, len(self._names)) if known and answer is not None else -1
        classes = len(each) if isinstance(each, list) else 0
        if self._probabilities is None and 2 < classes <= _MOST_CLASSES and confidence is not None:
            self._probabilities = np.full((WINDOW, classes), np.nan)
        if self._probabilities is not None:
            fits = classes == self._probabilities.shape[1] and all(isinstance(p, int | float) for p in each)
            self._probabilities[place] = each if fits else np.nan

    def _of_two(self, sure: Array, answer: Array, positive: str) -> dict[str, float]:
        place = self._names.get(positive, -2)
        known = answer >= 0
        is_positive = answer[known] == place
        sure = sure[known]
        hits, alarms = float(sure[is_positive].sum()), float((1 - sure[is_positive]).sum())
        missed = float((1 - sure[~is_positive]).sum())
        return _rates(hits, alarms, missed)


def _of_more(probabilities: Array, told: Array, sure: Array) -> dict[str, float]:
    """The macro averages, from each class's probability; the others share what putting it right took from the first."""
    whole = ~np.isnan(probabilities).any(axis=1)
    if whole.sum() < LEAST:
        return {}
    p, told, sure = probabilities[whole], told[whole], sure[whole]
    answer, rows = p.argmax(axis=1), np.arange(len(p))
    left = np.maximum(1 - told, 1e-12)
    p = p * ((1 - sure) / left)[:, None]
    p[rows, answer] = sure
    classes = p.shape[1]
    hits, answered = np.bincount(answer, sure, classes), np.bincount(answer, minlength=classes)
    true = p.sum(axis=0)
    seen = (answered > 0) | (true >= 1)
    each = [_rates(h, a - h, t - h) for h, a, t in zip(hits[seen], answered[seen], true[seen], strict=True)]
    return {name: float(np.mean([one.get(name, 0.0) for one in each])) for name in ("precision", "recall", "f1")}


def _rates(hits: float, alarms: float, missed: float) -> dict[str, float]:
    found = {}
    if hits + alarms > 0:
        found["precision"] = hits / (hits + alarms)
    if hits + missed > 0:
        found["recall"] = hits / (hits + missed)
    if 2 * hits + alarms + missed > 0:
        found["f1"] = 2 * hits / (2 * hits + alarms + missed)
    return {name: float(value) for name, value in found.items()}


def _variance(sure: Array, calibration: Calibration | None) -> float:
    """Of the mean: by the rows' own chances of being right, or by the spread of confidences and of the labels."""
    if calibration is None:
        return float((sure * (1 - sure)).mean() / len(sure))
    return float(sure.var() / len(sure) + calibration.spread**2 / calibration.labels)


def _monotone(values: Array, weights: Array) -> Array:
    """The closest values that never fall: pool adjacent violators."""
    blocks: list[list[float]] = []  # mean, weight, how many
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            last, before = blocks.pop(), blocks[-1]
            total = before[1] + last[1]
            before[0] = (before[0] * before[1] + last[0] * last[1]) / total
            before[1], before[2] = total, before[2] + last[2]
    return np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])
