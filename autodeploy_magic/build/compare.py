"""Two answers to the same rows: how far apart.

Numbers are compared within a tolerance: probabilities absolutely, other values relative to the spread of the reference,
column by column. Labels, text and whole numbers must be equal; a label may differ where the two likeliest classes tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.contracts import Output

__all__ = ["Comparison", "compare", "differing_rows"]


_FEW, _MANY = 10, 16
"""Fewer rows say little of how far a column's values lie apart; of so many columns (an embedding), the others tell."""
_OF_LARGEST = 0.1
"""Numbers in JSON are taken to lie apart by this part of the largest at least: scores are often all about 0.99."""


@dataclass(frozen=True)
class Comparison:
    """`differing` are positions among the rows; `words` describe the worst difference, or how close the answers are."""

    passed: bool
    agreement: float
    max_difference: float | None
    differing: tuple[int, ...]
    words: str


def compare(outputs: Sequence[Output], reference: dict[str, Any], found: dict[str, Any]) -> Comparison:
    """Compare JSON answers, `reference` being the live object's."""
    differences: dict[str, float | None] = {}
    failed: dict[str, tuple[int, ...]] = {}
    for output in outputs:
        rows, differences[output.name] = differing_rows(output, reference[output.name], found.get(output.name))
        failed[output.name] = rows
    ties = _ties(reference.get("probabilities"), failed["predictions"]) if not failed.get("probabilities") else set()
    wrong = tuple(row for row in failed["predictions"] if row not in ties)
    count = max(_length(reference["predictions"]), 1)
    failed["predictions"] = wrong
    headline = "probabilities" if differences.get("probabilities") is not None else "predictions"
    bad = next((output for output in outputs if failed[output.name]), None)
    if bad is None:
        words = _close_words(headline, differences[headline])
    else:
        words = _bad_words(bad.name, failed[bad.name], differences[bad.name], reference, found, count)
    return Comparison(
        passed=bad is None,
        agreement=1 - len(wrong) / count,
        max_difference=differences[headline],
        differing=tuple(sorted({row for rows in failed.values() for row in rows})),
        words=words,
    )


def differing_rows(output: Output, reference: Any, found: Any) -> tuple[tuple[int, ...], float | None]:
    """Return the rows in which two JSON answers differ, and their largest difference (None where no number is)."""
    if type(reference) is not type(found) or _length(reference) != _length(found):
        return tuple(range(max(_length(reference), 1))), None
    absolute = output.name == "probabilities"
    tolerance = float(settings.get("probability_tolerance" if absolute else "value_tolerance"))
    if output.container == "ndarray" and output.dtype[:3] in ("flo", "int", "uin", "boo"):
        return _numbers(reference, found, tolerance, absolute=absolute, exact=not output.dtype.startswith("float"))
    if not isinstance(reference, list):
        reference, found = [reference], [found]
    scale = 1.0 if absolute else _scale(reference)
    leaves = [_distance(a, b, scale) for a, b in zip(reference, found, strict=True)]
    rows = tuple(i for i, distance in enumerate(leaves) if distance > tolerance)
    finite = [distance for distance in leaves if distance != float("inf")]
    return rows, (max(finite) if finite and scale else None)


def _numbers(
    reference: Any, found: Any, tolerance: float, *, absolute: bool, exact: bool
) -> tuple[tuple[int, ...], float | None]:
    import numpy as np

    a, b = np.array(reference, dtype=float), np.array(found, dtype=float)
    if a.shape != b.shape:
        return tuple(range(max(_length(reference), 1))), None
    a, b = a.reshape(a.shape[0] if a.ndim else 1, -1), b.reshape(b.shape[0] if b.ndim else 1, -1)
    gap = np.abs(a - b)
    gap[np.isnan(a) & np.isnan(b)] = 0.0
    gap[np.isnan(a) != np.isnan(b)] = np.inf
    if exact:
        return tuple(np.flatnonzero((gap > 0).any(axis=1)).tolist()), None
    if not absolute:
        gap = gap / _spread(a)
    wrong = (gap > tolerance).any(axis=1)
    if not absolute and a.shape[1] > 1 and a.shape[0] > 1:
        wrong |= _another_first(a, b, tolerance)
    finite = gap[np.isfinite(gap)]
    return tuple(np.flatnonzero(wrong).tolist()), float(finite.max()) if finite.size else None


def _another_first(a: Any, b: Any, tolerance: float) -> Any:
    """The rows in which another value is the largest, and no tie: scores of classes would name another class there.

    One row of huge scores makes the spread of a column huge, and every difference in the other rows small beside it.
    """
    import numpy as np

    rows = np.arange(len(a))
    lead = a[rows, a.argmax(axis=1)] - a[rows, b.argmax(axis=1)]
    return lead > tolerance * np.abs(a).max(axis=1)


def _spread(values: Any) -> Any:
    """The range of each column; where it is constant its size, and 1 where it is zero or unknown."""
    import numpy as np

    known = np.where(np.isfinite(values), values, np.nan)
    if not known.size:
        return 1.0
    present = ~np.isnan(known).all(axis=0)
    low, high = np.zeros(known.shape[1]), np.zeros(known.shape[1])
    low[present], high[present] = np.nanmin(known[:, present], axis=0), np.nanmax(known[:, present], axis=0)
    spread = np.where(high > low, high - low, np.abs(high))
    if len(known) < _FEW and len(spread) >= _MANY:  # two rows of so many are next to each other in some by chance
        spread = np.maximum(spread, np.median(spread))
    return np.where(spread > 0, spread, 1.0)


def _scale(values: Any) -> float:
    """The spread of the numbers in JSON values, or a part of the largest where they hardly differ; 0 for no number."""
    numbers = sorted(_all_numbers(values))
    if not numbers:
        return 0.0
    return max(numbers[-1] - numbers[0], max(map(abs, numbers)) * _OF_LARGEST) or 1.0


def _all_numbers(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for child in children for number in _all_numbers(child)]


def _distance(a: Any, b: Any, scale: float) -> float:
    """How far two JSON values are apart: 0 where equal, infinite where something other than a number differs."""
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((_distance(x, y, scale) for x, y in zip(a, b, strict=True)), default=0.0)
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((_distance(a[key], b[key], scale) for key in a), default=0.0)
    real = isinstance(a, float) or isinstance(b, float)
    if real and all(isinstance(v, int | float) and not isinstance(v, bool) for v in (a, b)):
        return float(abs(a - b)) / (scale or 1.0)
    return 0.0 if a == b else float("inf")


def _ties(probabilities: Any, rows: Sequence[int]) -> set[int]:
    """Those of `rows` in which the live object itself could say either of two classes."""
    if not isinstance(probabilities, list):
        return set()
    tolerance = float(settings.get("probability_tolerance"))
    found = set()
    for row in rows:
        values = probabilities[row]
        if isinstance(values, list) and len(values) > 1 and all(isinstance(value, int | float) for value in values):
            first, second = sorted(values, reverse=True)[:2]
            if first - second <= tolerance:
                found.add(row)
    return found


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _close_words(name: str, difference: float | None) -> str:
    if difference is None:
        return f"{name} equal"
    return f"{name} within {difference:.0e}" if difference else f"{name} equal"


def _bad_words(
    name: str, rows: tuple[int, ...], difference: float | None, reference: Any, found: Any, count: int
) -> str:
    text = f"{name} differ in {len(rows)} of {count} rows"
    if difference is not None:
        return f"{text}, by up to {difference:.2g}"
    if name not in found:
        return f"{name} are missing"
    a, b = reference[name], found[name]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return f"{text}: the first is {b[rows[0]]!r:.60} where the live object says {a[rows[0]]!r:.60}"
    return f"{text}: {b!r:.60} where the live object says {a!r:.60}"
