"""The short way of a usual request: a few rows of floats that fit. All else goes the thorough way, which explains it.

Where both answer, they answer the same; a property test compares them.
"""

from __future__ import annotations

import math
from array import array
from itertools import chain
from typing import Any

import numpy as np

from autodeploy_magic.contracts import Signature
from autodeploy_magic.wire.inputs import Batch

__all__ = ["MOST_ROWS", "QuickReader"]

MOST_ROWS = 16
"""With more rows the thorough way, which asks numpy instead of Python, is as fast."""

_LARGEST = {"float64": math.inf, "float32": float(np.finfo(np.float32).max)}


class QuickReader:
    """Reads requests of one signature. `applies` says whether there is a short way for any of them."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        columns = signature.columns
        first = columns[0]
        self._names = [column.name for column in columns]
        self._table = signature.container == "dataframe"
        self._dtype = np.dtype(first.dtype) if first.dtype in _LARGEST else np.dtype(np.float64)
        self._largest = _LARGEST.get(first.dtype, 0.0)
        if self._table:
            self._width = len(columns)
            self.applies = first.dtype in _LARGEST and all(c.dtype == first.dtype and not c.shape for c in columns)
        else:
            self._width = first.shape[0] if len(first.shape) == 1 else 0
            array_like = signature.container in ("ndarray", "list") and len(columns) == 1
            self.applies = array_like and first.dtype in _LARGEST and self._width > 0

    def read(self, inputs: Any) -> Batch | None:
        """The rows of a request; None where there is no short way for it, be it right or wrong."""
        if not self.applies or type(inputs) is not list or not 0 < len(inputs) <= MOST_ROWS:
            return None
        flat: Any
        if len(inputs) == 1:
            flat = self._row(inputs[0])
        else:
            parts = [self._row(row) for row in inputs]
            flat = None if None in parts else list(chain.from_iterable(parts))  # type: ignore[arg-type]
        if flat is None:
            return None
        try:
            values = np.frombuffer(array("d", flat))
            largest = max(map(abs, flat))
            # A sum is finite only if all are.
            if not math.isfinite(sum(flat)) or largest > self._largest:
                return None
        except (TypeError, OverflowError):
            return None
        matrix = values.astype(self._dtype, copy=False).reshape(len(inputs), self._width)
        if self._table:
            batch = Batch(self._signature, len(inputs), None, matrix)
        else:
            batch = Batch(self._signature, len(inputs), {self._names[0]: matrix}, matrix)
        batch.largest = largest
        return batch

    def _row(self, row: Any) -> list[Any] | None:
        """The values of one row in the order of the columns; None where it is not one of the right width."""
        if len(row) != self._width if type(row) in (list, dict) else True:
            return None
        if type(row) is list:
            return row
        if not self._table:
            return None
        try:
            return [row[name] for name in self._names]
        except KeyError:
            return None
