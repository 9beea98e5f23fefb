"""Labelled rows of one kind, and what is told of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.health import Confusion, Figure
from autodeploy_magic.operate.quality.figures import (
    class_figures,
    confusion_of,
    in_order,
    number_figures,
    share_figures,
)
from autodeploy_magic.operate.quality.pairs import Kind

__all__ = ["Rows"]

_LONGEST = 60
"""Characters of a class's name that are told."""

Array = NDArray[Any]


class Rows:
    """What figures are made of. `slots` are the rows' places in `Window.columns`.

    Of "classes", `truth` and `answer` are numbers of `classes`, those that were true or answered, shape (rows,).
    Of "numbers" they are the targets, shape (rows, targets); of "equal", `answer` is whether it was right.
    """

    def __init__(self, kind: Kind, slots: Array, truth: Array, answer: Array, confidence: Array) -> None:
        self.kind, self.slots = kind, slots
        self.truth, self.answer, self.confidence = truth, answer, confidence
        self.classes: list[str] = []

    @property
    def loss(self) -> Array:
        """How wrong each row is: 0 or 1, or the mean absolute error of its targets."""
        if self.kind == "classes":
            return np.asarray(self.truth != self.answer, float)
        if self.kind == "equal":
            return np.asarray(1.0 - self.answer)
        error: Array = np.abs(self.truth - self.answer).mean(axis=1)
        return error

    @classmethod
    def none(cls) -> Rows:
        """No rows, of a classifier."""
        nothing = np.zeros(0, int)
        return cls("classes", nothing, nothing, nothing, np.zeros(0))

    def take(self, chosen: Array) -> Rows:
        """Some of the rows."""
        rows = Rows(self.kind, self.slots[chosen], self.truth[chosen], self.answer[chosen], self.confidence[chosen])
        rows.classes = self.classes
        return rows

    def positive(self, known: Collection[str], count: int | None) -> str | None:
        """The positive class of two; None where there are more, or fewer are known.

        `known` are classes that the model is known to answer; `count` is how many it has, where that is known: a label
        that is none of the two is then wrong, and makes no third class.
        """
        if self.kind != "classes" or count not in (None, 2):
            return None
        answered = {self.classes[number] for number in np.flatnonzero(np.bincount(self.answer))} | set(known)
        seen = answered | set(self.classes)
        if count == 2 and len(answered) == 2:
            seen = answered
        return in_order(list(seen))[1] if len(seen) == 2 else None

    def figures(self, positive: str | None) -> tuple[Figure, ...]:
        """The figures of all of them; the accuracy, or the MAE, is the first."""
        if self.kind == "numbers":
            return number_figures(self.truth, self.answer)
        if self.kind == "equal":
            return share_figures(self.answer > 0)
        place = None
        if positive is not None:
            place = self.classes.index(positive) if positive in self.classes else len(self.classes)
        return class_figures(self.truth, self.answer, max(len(self.classes), 2 if positive else 0), place)

    def confusion(self) -> Confusion | None:
        """How often each class was answered for each true one, in the order of scikit-learn's `classes_`."""
        if self.kind != "classes":
            return None
        ordered = in_order(self.classes)
        place = np.array([ordered.index(name) for name in self.classes])
        return confusion_of(place[self.truth], place[self.answer], [name[:_LONGEST] for name in ordered])
