"""Which cell a value of a column is counted in: decile by decile, category by category.

Values are JSON's, and of any type: what is missing is counted apart (`MISSING`), and so is what is of another kind than
its column (`OTHER`). Nothing here raises for a value.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autodeploy_magic.contracts import Column

__all__ = ["MISSING", "OTHER", "Dates", "Encoder", "Kind", "Names", "Numbers", "Text", "encoders_of", "kind_of"]

Kind = Literal["number", "category", "text", "date", "nothing"]
Codes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

MISSING, OTHER = -1, -2
BINS = 10
NAMED = 18
"""Categories that are counted by name, the most frequent ones; the others together."""
CELLS = 20
"""No column has more."""
WORDS = 5_000


class Encoder:
    """One column's (or one trait of it): `fit` on reference values, then `encode` others to cells.

    `kept(values)` are those of the reference values that may be counted as reference. `ordered` cells are those of
    numbers. `trait` words what is looked at where it is not the value itself.
    """

    ordered = True
    trait = ""

    def __init__(self, column: str) -> None:
        self.column = column
        self.cells = 0

    def fit(self, values: Sequence[Any], at_s: Sequence[float]) -> None:
        raise NotImplementedError

    def encode(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Codes, Floats]:
        """The cell of each value, and it as a number (NaN where it is none)."""
        raise NotImplementedError

    def kept(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Sequence[Any], Sequence[float]]:
        return values, at_s

    def changed(self, was: Floats, now: Floats, mean_was: float, mean_now: float) -> str:
        """What is other than it was, in words; the counts by cell, and the means of the numbers."""
        raise NotImplementedError


class Numbers(Encoder):
    """Deciles of the reference; a value that is a twentieth of all has a cell of its own."""

    unit = ""
    edges: Floats

    def fit(self, values: Sequence[Any], at_s: Sequence[float]) -> None:
        found = self.numbers(values, at_s)[0]
        found = np.sort(found[~np.isnan(found)])
        if not len(found):
            return
        bins = min(BINS, max(2, len(found) // 10))
        edges = np.unique(found[(np.arange(1, bins) * len(found)) // bins])
        alone = np.searchsorted(found, edges, "right") - np.searchsorted(found, edges, "left") > len(found) / bins / 2
        self.edges = np.unique(np.concatenate([edges, np.nextafter(edges[alone], np.inf)]))
        self.cells = len(self.edges) + 1

    def encode(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Codes, Floats]:
        found, codes = self.numbers(values, at_s)
        cells = self.edges.searchsorted(found, "right").astype(np.int16)
        return cells if codes is None else np.where(codes < 0, codes, cells), found

    def numbers(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Floats, Codes | None]:
        """See `numbers_of`."""
        return numbers_of(values)

    def changed(self, was: Floats, now: Floats, mean_was: float, mean_now: float) -> str:
        of = f"{self.trait or 'mean'} "
        return f"{of}{plain(mean_was)} → {plain(mean_now)}{self.unit}"


class Names(Encoder):
    """Categories: the most frequent ones by name, and the others together."""

    ordered = False

    def fit(self, values: Sequence[Any], at_s: Sequence[float]) -> None:
        counted = Counter(name for name in map(name_of, values) if isinstance(name, str))
        self.names = [name for name, _ in counted.most_common(NAMED)]
        self.places: dict[Any, int] = {name: i + 1 for i, name in enumerate(self.names)}
        self.cells = len(self.names) + 1 if counted else 0

    def encode(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Codes, Floats]:
        places = self.places
        codes = [places.get(name, 0) if isinstance(name, str) else name for name in map(name_of, values)]
        return np.array(codes, dtype=np.int16), np.full(len(codes), np.nan)

    def changed(self, was: Floats, now: Floats, mean_was: float, mean_now: float) -> str:
        before, after = was / max(was.sum(), 1), now / max(now.sum(), 1)
        most = int(np.abs(after - before).argmax())
        name = f"{_short(self.names[most - 1])!r}" if most and most <= len(self.names) else "others"
        return f"{name} {before[most]:.0%} → {after[most]:.0%}"


class Dates(Numbers):
    """How long ago a date was when it was asked about: dates themselves go on as time does."""

    trait = "age"
    unit = " days"

    def numbers(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Floats, Codes]:
        found, codes = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.int16)
        for i, value in enumerate(values):
            if value is None:
                codes[i] = MISSING
            elif (seconds := _instant(value)) is None:
                codes[i] = OTHER
            else:
                found[i] = (at_s[i] - seconds) / 86_400
        return found, codes


class Text(Numbers):
    """Texts, by their length alone or (`words`) by the share of words that the reference has not. No more is looked at:
    a text of another meaning in the same words is not noticed.
    """

    def __init__(self, column: str, words: bool) -> None:
        super().__init__(column)
        self.words = words
        self.trait = "unseen words" if words else "length"
        self.unit = " %" if words else " characters"
        self.known: set[str] = set()

    def fit(self, values: Sequence[Any], at_s: Sequence[float]) -> None:
        if self.words:
            for value in values[::2]:
                if isinstance(value, str) and len(self.known) < WORDS:
                    self.known.update(_words(value))
        super().fit(*self.kept(values, at_s))

    def kept(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Sequence[Any], Sequence[float]]:
        """The half whose words were not learned: in the other, none is unseen."""
        return (values[1::2], at_s[1::2]) if self.words else (values, at_s)

    def numbers(self, values: Sequence[Any], at_s: Sequence[float]) -> tuple[Floats, Codes]:
        found, codes = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.int16)
        for i, value in enumerate(values):
            if isinstance(value, str):
                found[i] = self._unseen(value) if self.words else len(value)
            else:
                codes[i] = MISSING if value is None else OTHER
        return found, codes

    def _unseen(self, value: str) -> float:
        words = _words(value)
        return 100 * sum(word not in self.known for word in words) / len(words) if words else 0.0


def kind_of(column: Column | None, values: Sequence[Any]) -> Kind:
    """What kind of values a column has, by what the signature says of it, else by the values."""
    dtype = column.dtype if column is not None else "object"
    if column is not None and (column.categories is not None or column.known is not None):
        return "category"
    if dtype.startswith(("float", "int", "uint", "timedelta")):
        return "number"
    if dtype.startswith("datetime"):
        return "date"
    if dtype == "bool":
        return "category"
    there = [value for value in values if isinstance(value, bool | int | float | str)]
    if not there:
        return "nothing"
    texts = [value for value in there if isinstance(value, str)]
    if 2 * len(texts) < len(there):
        return "category" if all(isinstance(value, bool) for value in there) else "number"
    several = len(set(texts)) <= max(NAMED, len(texts) // 5)
    return "category" if several and len(set(texts)) <= len(texts) / 2 else "text"


def encoders_of(name: str, kind: Kind) -> list[Encoder]:
    """What is looked at of a column of that kind."""
    if kind == "number":
        return [Numbers(name)]
    if kind == "category":
        return [Names(name)]
    if kind == "date":
        return [Dates(name)]
    return [Text(name, words=False), Text(name, words=True)] if kind == "text" else []


_PLAIN = ({float}, {int}, {float, int})


def numbers_of(values: Sequence[Any]) -> tuple[Floats, Codes | None]:
    """JSON values as numbers, NaN for what is none, and 0, `MISSING` or `OTHER`; None in place of nothing but zeros."""
    if set(map(type, values)) in _PLAIN:
        try:
            found = np.array(values, dtype=np.float64)
        except OverflowError:
            pass  # a whole number that no double holds: one by one
        else:
            gaps = np.isnan(found)
            return found, np.where(gaps, MISSING, 0).astype(np.int16) if gaps.any() else None
    found, codes = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.int16)
    for i, value in enumerate(values):
        if value is None or value != value:
            codes[i] = MISSING
        elif isinstance(value, int | float):
            found[i] = _double(value)
        else:
            codes[i] = OTHER
    return found, codes


def name_of(value: Any) -> str | int:
    """A category as text, or `MISSING` or `OTHER`: true and "true" are one, 1 and 1.0 are."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        number = _double(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return OTHER


def plain(number: float) -> str:
    """A number as people read it: "41", "0.0312", "1.2e+09"."""
    if number != number:
        return "?"
    return f"{number:.0f}" if 100 <= abs(number) < 1e6 else f"{number:.3g}"


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _instant(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        read = dt.datetime.fromisoformat(value)
        return (read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _words(text: str) -> list[str]:
    return text[:2_000].lower().split()[:200]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
