"""Two answers of different versions to the same rows: in how many they differ, and by how much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodeploy_magic import settings
from autodeploy_magic.contracts import Version
from autodeploy_magic.wire import to_plain

__all__ = ["apart_by"]


def apart_by(version: Version, rows: int, champion: dict[str, Any], challenger: dict[str, Any]) -> tuple[int, float]:
    """Return how many of `rows` two versions answered differently, and the sum over rows of the absolute difference.

    A row differs where its prediction does, or its probabilities where only those were asked for: labels by being
    unequal, numbers by more than the deployment's tolerance, relative or absolute. The difference is that of the
    probabilities where both tell them, else of predictions that are numbers, the largest of a row; 0 for labels.
    """
    shared = [name for name in champion if name in challenger]
    if not shared:
        return rows, 0.0
    labels = version.task == "classification"
    name = "predictions" if "predictions" in shared else shared[0]
    numbers = "probabilities" if "probabilities" in shared else name
    differing, difference = _compared(name, rows, champion, challenger, labels=labels)
    if numbers != name:
        _, difference = _compared(numbers, rows, champion, challenger, labels=labels)
    return differing, difference


def _compared(
    name: str, rows: int, champion: dict[str, Any], challenger: dict[str, Any], *, labels: bool
) -> tuple[int, float]:
    a, b = _array(champion[name]), _array(challenger[name])
    probabilities = name == "probabilities"
    tolerance = float(settings.get("probability_tolerance" if probabilities else "value_tolerance"))
    if a is None or b is None:
        return _compared_plain(rows, champion[name], challenger[name], tolerance), 0.0
    if a.shape != b.shape or a.ndim == 0 or len(a) != rows:
        return (0 if a.shape == b.shape and bool((a == b).all()) else rows), 0.0
    if labels and not probabilities:
        return int(_any_in_row(a != b).sum()), 0.0
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return int(_any_in_row(a != b).sum()), 0.0
    x, y = a.astype(float), b.astype(float)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        gap = np.abs(x - y)
    gap[(x == y) | (np.isnan(x) & np.isnan(y))] = 0.0  # infinities that are equal, and answers that are unknown to both
    gap[np.isnan(gap)] = np.inf
    size = 0.0 if probabilities else tolerance * np.abs(x)
    differing = _any_in_row(gap > tolerance + size)
    each = gap.reshape(rows, -1).max(axis=1, initial=0.0)
    return int(differing.sum()), float(each[np.isfinite(each)].sum())


def _array(value: Any) -> np.ndarray[Any, Any] | None:
    """The values of an array or a table; None for what is neither."""
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    return value if isinstance(value, np.ndarray) else None


def _any_in_row(cells: Any) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = cells.reshape(len(cells), -1).any(axis=1)
    return found


def _compared_plain(rows: int, champion: Any, challenger: Any, tolerance: float) -> int:
    a, b = to_plain(champion), to_plain(challenger)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b) == rows:
        return sum(not _same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    return 0 if _same(a, b, tolerance) else rows


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(value, b[key], tolerance) for key, value in a.items())
    if isinstance(a, float) or isinstance(b, float):
        numbers = all(isinstance(value, int | float) for value in (a, b))
        return numbers and math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    return bool(a == b)
