"""What two models answered to the same rows, side by side: in which form, how alike, and how right by the labels."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Version
from autodeploy_magic.operate.quality.figures import in_order
from autodeploy_magic.operate.quality.pairs import MOST_TARGETS, Pairs, class_name, resolve
from autodeploy_magic.operate.quality.rows import Rows as Scored
from autodeploy_magic.operate.quality.window import Window
from autodeploy_magic.reservoir import Labelled

__all__ = ["Answers", "Kind", "Sides"]

Kind = Literal["classes", "numbers", "vectors", "equal"]
"""What answers are: names of classes, a few numbers, many of them (an embedding, scores), anything else."""

Array = NDArray[Any]

_NEAR = 0.01
"""Numbers this close, relative to the spread of the champion's, count as the same answer: one part in a hundred."""


@dataclass(frozen=True)
class Answers:
    """What one model answered, by output; the first `rows` of the evidence. `failed` are rows that it raised on."""

    rows: int
    outputs: dict[str, list[Any]]
    failed: tuple[int, ...] = ()

    @classmethod
    def read(cls, file: Path) -> Answers:
        """Read what `serve.clean.measure` wrote. Raises `OSError` or `ValueError`."""
        found = msgspec.json.decode(gzip.decompress(file.read_bytes()))
        return cls(found["rows"], found["outputs"], tuple(row for row, _ in found["failed"]))

    def first(self, rows: int) -> Answers:
        """The answers to the first rows alone."""
        outputs = {name: values[:rows] for name, values in self.outputs.items()}
        return Answers(rows, outputs, tuple(row for row in self.failed if row < rows))


class Sides:
    """Champion (`a`) and challenger (`b`) on the rows that both answered, with their labels (None: not known)."""

    def __init__(self, version: Version, a: Answers, b: Answers, labels: Sequence[Any]) -> None:
        self.rows = min(a.rows, b.rows, len(labels))
        self.a, self.b = a.first(self.rows), b.first(self.rows)
        self.labels = list(labels[: self.rows])
        self._version = version
        self._pairs = Pairs(version)

    @cached_property
    def kind(self) -> Kind:
        """Of what kind the champion's answers are; with labels, of what kind these make them."""
        if self.scored is not None and self.scored[0].kind == "classes":
            return "classes"
        given = [value for value in self._predictions(self.a) if value is not None]
        if given and all(self._pairs.answer(value) is not None for value in given):
            return "classes"
        width = {len(value) if isinstance(value, list) else 0 for value in given}
        if self.numbers is not None and len(width) == 1 and not self._counted:
            return "numbers" if self.numbers[0].shape[1] <= MOST_TARGETS and self._measured else "vectors"
        return "equal"

    @cached_property
    def wrong_form(self) -> list[tuple[int, str]]:
        """The rows that the challenger answers in another form than the champion: (row, what is wrong with it)."""
        failed = set(self.b.failed) - set(self.a.failed)
        found = [(row, "it raises") for row in sorted(failed)]
        for name, values in self.a.outputs.items():
            others = self.b.outputs.get(name)
            if others is None:
                return [(row, f"{name} are missing") for row in range(self.rows)]
            output = next((one for one in self._version.outputs if one.name == name), None)
            strict = output is not None and output.container in ("ndarray", "series", "dataframe")
            for row, (one, other) in enumerate(zip(values, others, strict=True)):
                if row not in failed and row not in self.a.failed:
                    words = _unlike(one, other, strict=strict)
                    if words:
                        found.append((row, f"{name}: {words}"))
        return sorted(found)

    @cached_property
    def names(self) -> tuple[list[str], list[str]] | None:
        """The classes that both answer, row by row; None where they answer none."""
        sides = []
        for side in (self.a, self.b):
            found = [self._class_of(value) for value in self._predictions(side)]
            sides.append(["" if name is None else name for name in found])
        return (sides[0], sides[1]) if self.kind == "classes" else None

    @cached_property
    def same(self) -> Array:
        """For each row whether both answer the same: class, value, numbers within a hundredth of their spread."""
        if self.names is not None:
            return np.array([a == b for a, b in zip(*self.names, strict=True)], dtype=bool)
        if self.kind in ("numbers", "vectors") and self.numbers is not None:
            return np.asarray((self.gaps <= _NEAR).all(axis=1))
        pairs = zip(self._predictions(self.a), self._predictions(self.b), strict=True)
        return np.array([a == b for a, b in pairs], dtype=bool)

    @cached_property
    def numbers(self) -> tuple[Array, Array] | None:
        """Both sides' answers as numbers, shape (rows, values), NaN where there is none; None where they are others."""
        a, b = (_numbers(self._predictions(side)) for side in (self.a, self.b))
        return None if a is None or b is None or a.shape != b.shape else (a, b)

    @cached_property
    def gaps(self) -> Array:
        """How far the numbers are apart, relative to the spread (standard deviation) of the champion's column."""
        assert self.numbers is not None
        a, b = self.numbers
        with np.errstate(all="ignore"):
            spread = np.nanstd(a, axis=0)
            size = np.nanmean(np.abs(a), axis=0)
        spread = np.where(spread > 1e-9 * size, spread, np.where(size > 0, size, 1.0))
        gap: Array = np.abs(a - b) / spread
        gap[np.isnan(a) & np.isnan(b)] = 0.0
        gap[np.isnan(a) != np.isnan(b)] = np.inf
        return gap

    @cached_property
    def cosine(self) -> Array | None:
        """The cosine of both answers, row by row, where these are vectors."""
        if self.kind != "vectors" or self.numbers is None:
            return None
        a, b = (np.nan_to_num(side) for side in self.numbers)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        found: Array = np.where(lengths > 0, (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1.0), 0.0)
        found[(a == b).all(axis=1)] = 1.0
        return found

    @cached_property
    def probabilities(self) -> tuple[Array, Array] | None:
        """Both sides' probabilities, shape (rows, classes); None where one has none, or not of one class a column."""
        found = [self._probabilities(side) for side in (self.a, self.b)]
        if found[0] is None or found[1] is None or found[0].shape != found[1].shape:
            return None
        return found[0], found[1]

    @cached_property
    def moved(self) -> Array | None:
        """For each row the largest difference of a probability."""
        if self.probabilities is None:
            return None
        a, b = self.probabilities
        found: Array = np.nan_to_num(np.abs(a - b), nan=1.0).max(axis=1)
        return found

    @cached_property
    def scored(self) -> tuple[Scored, Scored] | None:
        """Both sides' labelled rows as figures are made of, the same rows in the same order; None for no labels."""
        places = [row for row, label in enumerate(self.labels) if label is not None]
        if not places:
            return None
        known = self._known
        sides = []
        for side in (self.a, self.b):
            window = Window(len(places))
            predictions = self._predictions(side)
            for place in places:
                pair = self._pairs.of(predictions[place], self.labels[place])
                window.add(_labelled(place, predictions[place], self.labels[place]), pair)
            sides.append(window.rows(known))
        if sides[0] is None or sides[1] is None or sides[0].kind != sides[1].kind:
            return None
        common = np.intersect1d(sides[0].slots, sides[1].slots)
        a, b = (one.take(np.searchsorted(one.slots, common)) for one in sides if one is not None)
        for found in (a, b):
            found.slots = np.array(places)[found.slots]  # rows of the evidence
        return a, b

    @cached_property
    def losses(self) -> tuple[Array, Array] | None:
        """Log losses of the labelled rows (natural logarithm, cut off at 1e-15 as scikit-learn's)."""
        if self.probabilities is None or self.scored is None or self.kind != "classes":
            return None
        columns = self._columns
        if columns is None:
            return None
        places, at = [], []
        for row in self.scored[0].slots.tolist():
            name = class_name(self.labels[row])
            column = columns.get(resolve(name, columns)) if name is not None else None
            if column is not None:
                places.append(row)
                at.append(column)
        if not places:
            return None
        found = []
        for side in self.probabilities:
            chosen = np.nan_to_num(side[places], nan=0.0)
            total = chosen.sum(axis=1)
            share = chosen[np.arange(len(places)), at] / np.where(total > 0, total, 1.0)
            found.append(-np.log(np.clip(share, 1e-15, 1.0)))
        return found[0], found[1]

    @property
    def known(self) -> frozenset[str]:
        """The classes that the two answer."""
        return self._known

    @property
    def _measured(self) -> bool:
        """Whether a few numbers are measured values, and not the scores or coordinates of one thing."""
        if self._version.task in ("transform", "embedding"):
            return False
        return self._version.task == "regression" or self.numbers is None or self.numbers[0].shape[1] == 1

    @property
    def _counted(self) -> bool:
        """Whether the answers are whole numbers of something that is no regression: of clusters, of several classes."""
        output = next((one for one in self._version.outputs if one.name == "predictions"), None)
        floats = output is not None and output.dtype.startswith("float")
        return self._version.task != "regression" and not floats and not any(map(_has_float, self._predictions(self.a)))

    @cached_property
    def _known(self) -> frozenset[str]:
        found = (self._pairs.answer(value) for side in (self.a, self.b) for value in self._predictions(side))
        return frozenset(name for name in found if name is not None)

    def _class_of(self, value: Any) -> str | None:
        """The class that an answer names, or of scores the position of the highest."""
        found = self._pairs.answer(value)
        if found is None and isinstance(value, list) and value and all(isinstance(one, int | float) for one in value):
            return str(max(range(len(value)), key=value.__getitem__))
        return class_name(value) if found is None else found

    def _predictions(self, side: Answers) -> list[Any]:
        return side.outputs.get("predictions", [None] * side.rows)

    def _probabilities(self, side: Answers) -> Array | None:
        values = side.outputs.get("probabilities")
        if values is None:
            given = self._predictions(side)
            known = [value for value in given if value is not None]
            values = given if known and all(self._pairs.confidence(value) is not None for value in known) else None
        if values is None:
            return None
        if any(isinstance(value, dict) for value in values):  # a frame, whose columns are the classes
            values = [list(value.values()) if isinstance(value, dict) else value for value in values]
        return _numbers(values)

    @cached_property
    def _columns(self) -> dict[str, int] | None:
        """Which column of the probabilities a class has: as scikit-learn orders them; else by what is answered."""
        assert self.probabilities is not None
        width = self.probabilities[0].shape[1]
        output = next((one for one in self._version.outputs if one.name == "probabilities"), None)
        if output is not None and len(output.columns) == width:
            return {name: i for i, name in enumerate(output.columns)}
        if output is None:  # scores of a network: a class is its position
            return {str(i): i for i in range(width)}
        assert self.scored is not None
        names = in_order(list({*self._known, *self.scored[0].classes}))
        if len(names) == width:
            return {name: i for i, name in enumerate(names)}
        seen: dict[str, Counter[int]] = {}
        likeliest = np.nan_to_num(self.probabilities[0]).argmax(axis=1).tolist()
        for value, column in zip(self._predictions(self.a), likeliest, strict=True):
            name = self._pairs.answer(value)
            if name is not None:
                seen.setdefault(name, Counter())[column] += 1
        found = {name: counts.most_common(1)[0][0] for name, counts in seen.items()}
        return found if found and len(set(found.values())) == len(found) else None


def _labelled(row: int, prediction: Any, label: Any) -> Labelled:
    return Labelled(str(row), 0, 0, 0.0, 0.0, prediction, label, {})


def _unlike(one: Any, other: Any, *, strict: bool) -> str:
    """What is wrong with the form of an answer, beside the champion's; "" for nothing."""
    if other is None:
        return (
            ""
            if one is None
            else "no number (NaN or infinite)"
            if _is_number(one) or isinstance(one, list)
            else "nothing"
        )
    if one is None:
        return ""
    if _is_number(one) and _is_number(other):
        return ""
    if isinstance(one, list) and isinstance(other, list):
        if strict and len(one) != len(other):
            return f"{len(other)} values in the place of {len(one)}"
        if strict:
            return next((words for a, b in zip(one, other, strict=True) if (words := _unlike(a, b, strict=True))), "")
        return "no number (NaN or infinite)" if None in other and None not in one else ""
    if isinstance(one, dict) and isinstance(other, dict):
        if strict and one.keys() != other.keys():
            return "other columns"
        return next(
            (words for k in one.keys() & other.keys() if (words := _unlike(one[k], other[k], strict=strict))), ""
        )
    return "" if type(one) is type(other) else f"{type(other).__name__} in the place of {type(one).__name__}"


def _has_float(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_has_float, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(values: Sequence[Any]) -> Array | None:
    """JSON values as an array of (rows, numbers), None as NaN; None where they are no numbers, or of several widths."""
    flat: list[list[float]] = []
    for value in values:
        row = _flat(value)
        if row is None:
            return None
        flat.append(row)
    width = max((len(row) for row in flat), default=0)
    if not width or any(len(row) not in (width, 1) for row in flat):
        return None
    if any(len(row) != width and not math.isnan(row[0]) for row in flat):
        return None
    return np.array([row if len(row) == width else [math.nan] * width for row in flat], dtype=float)


def _flat(value: Any) -> list[float] | None:
    if value is None:
        return [math.nan]
    if _is_number(value):
        return [float(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return None
    found: list[float] = []
    for item in value:
        row = _flat(item)
        if row is None:
            return None
        found += row
    return found
