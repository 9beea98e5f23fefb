"""The inputs of labelled rows as numbers, so that rows can be told apart quickly: texts by the order they came in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_COLUMNS", "Columns"]

MOST_COLUMNS = 20
"""Columns that are kept of a row: the first ones."""
_FREE_TEXT = 200
"""Texts of one column from which on it is no column of classes."""


class Columns:
    """A place for each of `rows` rows, with the values of some columns; NaN where one is missing.

    A column is of texts where its first value is one (or a truth value), else of numbers. `only` names the one column
    that is wanted.
    """

    def __init__(self, rows: int, only: str | None = None) -> None:
        self.values = np.full((0 if only == "" else 1 if only else MOST_COLUMNS, rows), np.nan)
        self._only = only
        self._places: dict[str, int] = {}
        self._texts: dict[int, dict[str, int] | None] = {}

    def put(self, row: int, columns: Mapping[str, Any]) -> None:
        """Write one row down, in place of what was there."""
        self.values[:, row] = math.nan
        for name, value in columns.items():
            if value is None:
                continue
            place = self._places.get(name)
            if place is None:
                place = self._begin(name)
                if place is None:
                    continue
            number = self._number(place, value)
            if number is not None:
                self.values[place, row] = number

    def names(self) -> list[str]:
        """The columns, but for those of free text."""
        return [name for name, place in self._places.items() if self._texts.get(place, {}) is not None]

    def of(self, name: str) -> tuple[NDArray[Any], list[str] | None]:
        """A column's values, and for one of texts what each number stands for."""
        place = self._places[name]
        texts = self._texts.get(place)
        return self.values[place], None if texts is None else list(texts)

    def _begin(self, name: str) -> int | None:
        if len(self._places) >= len(self.values) or (self._only and name != self._only):
            return None
        return self._places.setdefault(name, len(self._places))

    def _number(self, place: int, value: Any) -> float | None:
        if place not in self._texts:
            if isinstance(value, int | float) and not isinstance(value, bool):
                number = float(value)
                return number if math.isfinite(number) else None
            if not isinstance(value, str | bool) or not np.isnan(self.values[place]).all():
                return None  # a text in a column of numbers
            self._texts[place] = {}
        texts = self._texts[place]
        if texts is None:
            return None
        number = texts.setdefault(str(value), len(texts))
        if len(texts) > _FREE_TEXT:
            self._texts[place] = None
            return None
        return float(number)
