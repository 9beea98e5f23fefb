"""Labels as people and programs write them, in the terms of a model: its own classes, or numbers.

A label is a JSON value: 1, "1", 1.0 and true may all mean the class that the model calls 1 (`quality.pairs` reads them
in the same way for the figures). A row whose label the model cannot take is left out, and `Mapped.note` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autodeploy_magic.operate.quality.pairs import MOST_TARGETS, class_name, resolve

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FEWEST_OF_A_NEW_CLASS", "Mapped", "as_classes", "as_known_or_new", "as_numbers"]

FEWEST_OF_A_NEW_CLASS = 10
"""Rows with a label that the model never saw, before it is a class of its own and not a slip of the pen."""

_UNREADABLE = "no value that can be read"
_MOST_NAMED = 3


@dataclass(frozen=True)
class Mapped:
    """Labels that a model can be trained with.

    `y` has one for each of `positions`, which are the rows that are kept, in their order: values of the model's classes
    in their own dtype, or float64 numbers (two-dimensional where each row has several). `codes` are positions in
    `classes`, of classes only. `left_out` counts the rows that are not kept by what their label says.
    """

    y: np.ndarray
    positions: tuple[int, ...]
    codes: np.ndarray | None = None
    classes: tuple[Any, ...] = ()
    new: tuple[Any, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What was left out, in words: "3 rows left out: labels the model never saw ('d')"; "" for nothing."""
        if not self.left_out:
            return ""
        rows = sum(self.left_out.values())
        names = [name if name == _UNREADABLE else repr(name) for name in list(self.left_out)[:_MOST_NAMED]]
        more = "" if len(self.left_out) <= _MOST_NAMED else f" and {len(self.left_out) - _MOST_NAMED} more"
        return f"{rows} row{'s' * (rows != 1)} left out: labels the model cannot take ({', '.join(names)}{more})"


def as_classes(labels: Sequence[Any], classes: Iterable[Any]) -> Mapped:
    """The classes of the model's own that labels mean; the rows of all other labels are left out.

    `classes` are the model's, in its order (`classes_`, or `range(10)` of a network with ten outputs); a label that is
    a one-hot row of as many numbers means the class at that position.
    """
    return _mapped(labels, classes, fewest=0)


def as_known_or_new(labels: Sequence[Any], classes: Iterable[Any], *, fewest: int = FEWEST_OF_A_NEW_CLASS) -> Mapped:
    """The same for a model that is fitted anew: a class that it never saw is kept where at least `fewest` rows have it.

    Such a class stands behind the others in `classes` and in `new`, as a value of their kind.
    """
    return _mapped(labels, classes, fewest=fewest)


def as_numbers(labels: Sequence[Any], targets: int = 1) -> Mapped:
    """The numbers that labels say, `targets` of each row; what is no finite number is left out."""
    import numpy as np

    positions, found, left = [], [], Counter[str]()
    for position, label in enumerate(labels):
        row = _numbers(label, targets)
        if row is None:
            left[class_name(label) or _UNREADABLE] += 1
        else:
            positions.append(position)
            found.append(row)
    y = np.asarray(found, dtype=np.float64).reshape(len(found), targets)
    return Mapped(y[:, 0] if targets == 1 else y, tuple(positions), left_out=dict(left))


def _mapped(labels: Sequence[Any], classes: Iterable[Any], *, fewest: int) -> Mapped:
    import numpy as np

    known = classes if isinstance(classes, np.ndarray) else np.asarray(list(classes))
    own = [value.item() if hasattr(value, "item") else value for value in known]
    codes = {name: code for code, name in enumerate(map(class_name, own)) if name is not None}
    named = [_name(label, own) for label in labels]
    meant = {name: resolve(name, codes) for name in set(named) if name is not None}
    counts = Counter(meant[name] for name in named if name is not None and meant[name] not in codes)
    new: list[Any] = []
    for name, count in sorted(counts.items()):
        value = _like(name, known) if fewest and count >= fewest else None
        if value is not None:
            codes[name] = len(own) + len(new)
            new.append(value)
    positions = [i for i, name in enumerate(named) if name is not None and meant[name] in codes]
    left = Counter(
        _UNREADABLE if name is None else meant[name] for name in named if name is None or meant[name] not in codes
    )
    found = np.asarray([codes[meant[str(named[i])]] for i in positions], dtype=np.int64)
    every = np.concatenate([known, np.asarray(new, dtype=None if known.dtype.kind == "U" else known.dtype)])
    every = every if new else known
    return Mapped(every[found], tuple(positions), found, tuple(every.tolist()), tuple(new), dict(left))


def _name(label: Any, classes: Sequence[Any]) -> str | None:
    """What a label is called; a one-hot row is the class at its position."""
    if isinstance(label, list | tuple) and len(label) == len(classes) > 1 and all(_is_number(one) for one in label):
        ones = [i for i, one in enumerate(label) if one == 1]
        if len(ones) == 1 and sum(map(bool, label)) == 1:
            return class_name(classes[ones[0]])
    return class_name(label)


def _like(name: str, classes: np.ndarray) -> Any:
    """A new class as a value of the others' kind; None where it cannot be one."""
    kind = classes.dtype.kind
    if kind == "U" or (kind == "O" and all(isinstance(value, str) for value in classes)):
        return name
    try:
        value = int(name) if kind in "iu" else float(name) if kind == "f" else None
        classes.dtype.type(value)  # which may be too small for it
    except (ValueError, OverflowError, TypeError):
        return None
    return value


def _numbers(label: Any, targets: int) -> list[float] | None:
    if isinstance(label, Mapping):
        label = list(label.values())
    values = label if isinstance(label, list | tuple) else [label]
    if len(values) != targets or not 0 < targets <= MOST_TARGETS:
        return None
    found = []
    for value in values:
        while isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]  # noqa: PLW2901  # what is in a list of one
        if not isinstance(value, str | bool | int | float):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        if number - number != 0:  # not finite
            return None
        found.append(number)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
