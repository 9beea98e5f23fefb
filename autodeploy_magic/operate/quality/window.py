"""The newest labelled rows as arrays: a row whose label comes again takes its place anew, the oldest is forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.operate.quality.columns import Columns
from autodeploy_magic.operate.quality.pairs import Kind, Pair, resolve
from autodeploy_magic.operate.quality.rows import Rows
from autodeploy_magic.reservoir import Labelled

__all__ = ["LATE_S", "WINDOW", "Window"]

WINDOW = 2000
"""Labelled rows that figures are over, newest first by when their label came."""

LATE_S = 3600.0
"""A label that comes later than this after the answer is called late; it counts as any other."""

_KINDS: tuple[Kind, ...] = ("classes", "numbers", "equal")
_NAMES = 4 * WINDOW
"""Names of classes from which on those that no row has any more are forgotten."""

Array = NDArray[Any]


class Window:
    """Holds up to `most` rows, each told by its request and its number in that; their inputs where `columns` are given.

    `late` and `changed` count those of its labels; `unread` ones cannot be compared with their answers.
    """

    def __init__(self, most: int = WINDOW, columns: Columns | None = None) -> None:
        self._most = most
        self.columns = columns
        self._places: dict[tuple[str, int], int] = {}  # in the order of when the label came
        self._free = list(range(most - 1, -1, -1))
        self._kind = np.zeros(most, np.int8)
        self._late, self._changed = np.zeros(most, bool), np.zeros(most, bool)
        self._confidence = np.full(most, np.nan)
        self._truth, self._answer = np.zeros((most, 1)), np.zeros((most, 1))
        self._names: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def late(self) -> int:
        return int(np.count_nonzero(self._late))

    @property
    def changed(self) -> int:
        return int(np.count_nonzero(self._changed))

    @property
    def unread(self) -> int:
        return len(self) - int(np.count_nonzero(self._kind))

    def add(self, labelled: Labelled, pair: Pair | None) -> None:
        """Take a label in, in place of the row's earlier one."""
        key = labelled.request, labelled.row
        place = self._places.pop(key, None)
        if place is None:
            place = self._free.pop() if self._free else self._places.pop(next(iter(self._places)))
        self._places[key] = place
        self._late[place] = labelled.labelled_s - labelled.answered_s > LATE_S
        self._changed[place] = labelled.before is not None and labelled.before != labelled.label
        confidence = labelled.confidence if pair is None or pair.confidence is None else pair.confidence
        self._confidence[place] = np.nan if confidence is None else confidence
        self._kind[place] = 0
        if pair is not None and self._write(place, pair):
            self._kind[place] = 1 + _KINDS.index(pair.kind)
        if self.columns is not None:
            self.columns.put(place, labelled.columns)

    def rows(self, known: frozenset[str] = frozenset()) -> Rows | None:
        """The rows of the kind that most are of; None for none. `known` are classes that the model is known to answer.

        A class's label is taken for the class that it means (see `pairs.resolve`).
        """
        counts = np.bincount(self._kind, minlength=1 + len(_KINDS))[1:]
        if not counts.sum():
            return None
        index = int(counts.argmax())
        slots = np.flatnonzero(self._kind == index + 1)
        kind = _KINDS[index]
        truth, answer = self._truth[slots], self._answer[slots]
        if kind != "numbers":
            truth, answer = truth[:, 0], answer[:, 0]
        rows = Rows(kind, slots, truth, answer, self._confidence[slots])
        if kind == "classes":
            self._name(rows, known)
        return rows

    def _write(self, place: int, pair: Pair) -> bool:
        """Whether it could be: numbers of several widths have no common figure."""
        if pair.kind == "classes":
            if len(self._names) >= _NAMES:
                self._forget_names()
            self._truth[place, 0], self._answer[place, 0] = self._number(pair.truth), self._number(pair.answer)
        elif pair.kind == "equal":
            self._truth[place, 0], self._answer[place, 0] = 1.0, float(pair.answer)
        else:
            targets = len(pair.truth)
            if targets != self._truth.shape[1]:
                if self._kind.any():
                    return False
                self._truth, self._answer = np.zeros((self._most, targets)), np.zeros((self._most, targets))
            self._truth[place], self._answer[place] = pair.truth, pair.answer
        return True

    def _number(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _forget_names(self) -> None:
        of_classes = np.flatnonzero(self._kind == 1)
        used = np.unique(np.concatenate([self._truth[of_classes, 0], self._answer[of_classes, 0]]))
        names = list(self._names)
        for values in (self._truth, self._answer):
            values[of_classes, 0] = np.searchsorted(used, values[of_classes, 0])
        self._names = {names[int(number)]: place for place, number in enumerate(used)}

    def _name(self, rows: Rows, known: frozenset[str]) -> None:
        names = list(self._names)
        truth, answer = rows.truth.astype(int), rows.answer.astype(int)
        answered = [names[number] for number in _distinct(answer)]
        meant = {number: resolve(names[number], known.union(answered)) for number in _distinct(truth)}
        rows.classes = list(dict.fromkeys([*answered, *meant.values()]))
        index = {name: place for place, name in enumerate(rows.classes)}
        table = np.zeros(len(names), int)
        table[list(meant)] = [index[name] for name in meant.values()]
        rows.truth = table[truth]
        table[_distinct(answer)] = np.arange(len(answered))
        rows.answer = table[answer]


def _distinct(numbers: Array) -> list[int]:
    """Small numbers, each once, in their order."""
    found: list[int] = np.flatnonzero(np.bincount(numbers)).tolist()
    return found
