"""What an answer and its label say, whatever JSON they came as: two classes, two rows of numbers, or if they agree.

Labels are written by people and by other programs: 1, "1", 1.0 and true may all mean the class that the model calls 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from autodeploy_magic.contracts import Version

__all__ = ["MOST_TARGETS", "Kind", "Pair", "Pairs", "class_name", "resolve"]

Kind = Literal["classes", "numbers", "equal"]

MOST_TARGETS = 64
"""Numbers of one answer that are compared with its label; what has more is an embedding or a picture."""

_ONE_HOT = 1e-6
_SUMS = 1e-3
"""How far from 1 the sum of probabilities may be that were rounded."""


class Pair(NamedTuple):
    """What was true and what was answered: names of classes, numbers, or ("equal") in `answer` whether it was right.

    `confidence` is the probability of the answer where the answer itself tells it.
    """

    kind: Kind
    truth: Any
    answer: Any
    confidence: float | None = None


class Pairs:
    """Reads the answers and labels of a deployment as its version's task and outputs want them:

    a classifier's answers           classes; of several targets: right where all of them are
    numbers of a regression          numbers, one or several
    floats of a function, a network  numbers; scores in a row whose label is one class: the class of the highest
    anything else                    whether answer and label are equal
    """

    def __init__(self, version: Version) -> None:
        self._task = version.task
        outputs = {output.name: output for output in version.outputs}
        answer = outputs.get("predictions")
        self._floats = answer is not None and answer.dtype.startswith("float")
        self._classes = version.task == "classification" or (
            version.task == "function" and "probabilities" in outputs and not self._floats
        )

    def of(self, prediction: Any, label: Any) -> Pair | None:
        """Return what the two say; None where that cannot be told."""
        prediction, label = _alone(prediction), _alone(label)
        if prediction is None or label is None:
            return None
        if self._task == "regression":
            return _numbers(prediction, label)
        if self._classes or self._task == "function":
            scored = self._scored(prediction, label)
            if scored is not None:
                return scored
        answered = class_name(prediction)
        if self._classes and answered is not None:
            true = class_name(label)
            return None if true is None else Pair("classes", true, answered)
        if not self._classes and self._task == "function" and _is_float(prediction, self._floats):
            return _numbers(prediction, label)
        return _equal(prediction, label)

    def answer(self, prediction: Any) -> str | None:
        """The class that an answer names, of a classifier; None for any other answer."""
        prediction = _alone(prediction)
        if not self._classes:
            return None
        if isinstance(prediction, list):
            return str(_highest(prediction)) if self._are_scores(prediction) else None
        return class_name(prediction)

    def confidence(self, prediction: Any) -> float | None:
        """The highest probability of an answer that is one of each class; None for any other answer."""
        if not isinstance(prediction, list) or not self._are_scores(prediction):
            return None
        probable = all(value >= 0 for value in prediction) and abs(sum(prediction) - 1) < _SUMS
        return float(max(prediction)) if probable else None

    def _scored(self, prediction: Any, label: Any) -> Pair | None:
        """The class of the highest score, named by its position, where the label is a position or one-hot."""
        if not isinstance(prediction, list) or not self._are_scores(prediction):
            return None
        true = _position(label, len(prediction))
        if true is None:
            return None
        return Pair("classes", str(true), str(_highest(prediction)), self.confidence(prediction))

    def _are_scores(self, prediction: list[Any]) -> bool:
        numbers = len(prediction) > 1 and all(_is_number(value) for value in prediction)
        return numbers and (self._floats or any(isinstance(value, float) for value in prediction))


def class_name(value: Any) -> str | None:
    """What a class is called: "1" for 1 and 1.0, "True", a text without the spaces around it; None for what is none.

    An object that names its "label" (as text classifiers answer) is that label.
    """
    value = _alone(value)
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value) if math.isfinite(value) else None
    if isinstance(value, Mapping) and "label" in value:
        return class_name(value["label"])
    return None


def resolve(name: str, known: Iterable[str]) -> str:
    """Return the class of `known` that a label means: itself, the same number, the same but for capitals, the same
    truth value; a label that means none of them is a class of its own.
    """
    classes = set(known)
    if name in classes:
        return name
    folded: dict[str, list[str]] = {}
    for one in classes:
        folded.setdefault(_folded(one), []).append(one)
    wanted, otherwise = _folded(name), name
    if classes and folded.keys() <= {"true", "false"} and wanted in ("0", "1"):
        wanted = "true" if wanted == "1" else "false"
        otherwise = wanted.capitalize()
    elif classes and folded.keys() <= {"0", "1"} and wanted in ("true", "false"):
        wanted = otherwise = "1" if wanted == "true" else "0"
    found = folded.get(wanted, [])
    return found[0] if len(found) == 1 else otherwise


def _folded(name: str) -> str:
    try:
        number = float(name)
    except ValueError:
        return name.casefold()
    if not math.isfinite(number):
        return name.casefold()
    return str(int(number)) if number.is_integer() else repr(number)


def _alone(value: Any) -> Any:
    """What is in a list of one."""
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_float(value: Any, floats: bool) -> bool:
    """Whether an answer is of numbers that are measured, not counted."""
    values = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    if not values or not all(_is_number(one) for one in values):
        return False
    return floats or any(isinstance(one, float) for one in values)


def _number(value: Any) -> float | None:
    value = _alone(value)
    if isinstance(value, str | bool | int | float):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    return None


def _numbers(prediction: Any, label: Any) -> Pair | None:
    truth, answer = _row(label, prediction), _row(prediction, prediction)
    if truth is None or answer is None or len(truth) != len(answer):
        return None
    return Pair("numbers", truth, answer)


def _row(value: Any, like: Any) -> tuple[float, ...] | None:
    """The numbers of a value; of an object those of the columns that the answer has, in its order."""
    if isinstance(value, Mapping):
        value = [value.get(key) for key in like] if isinstance(like, Mapping) else list(value.values())
    values = value if isinstance(value, list | tuple) else [value]
    if not 0 < len(values) <= MOST_TARGETS:
        return None
    found = [_number(one) for one in values]
    return None if any(one is None for one in found) else tuple(one for one in found if one is not None)


def _position(label: Any, classes: int) -> int | None:
    if isinstance(label, list):
        numbers = len(label) == classes and all(_is_number(value) for value in label)
        one_hot = numbers and max(label) == 1 and abs(sum(label) - 1) < _ONE_HOT and min(label) == 0
        return label.index(1) if one_hot else None
    number = _number(label)
    return int(number) if number is not None and number.is_integer() and 0 <= number < classes else None


def _highest(scores: list[Any]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


def _equal(prediction: Any, label: Any) -> Pair | None:
    """Whether two answers are equal, item by item where they have several; None where they are not of one form."""
    a, b = _items(prediction, prediction), _items(label, prediction)
    if a is None or b is None or len(a) != len(b):
        return None
    return Pair("equal", True, all(resolve(true, [answered]) == answered for answered, true in zip(a, b, strict=True)))


def _items(value: Any, like: Any) -> list[str] | None:
    name = class_name(value)
    if name is not None:
        return [name]
    if isinstance(value, Mapping):
        value = [value.get(key) for key in like] if isinstance(like, Mapping) else list(value.values())
    if not isinstance(value, list) or not 0 < len(value) <= MOST_TARGETS:
        return None
    names = [class_name(one) for one in value]
    return None if any(one is None for one in names) else [one for one in names if one is not None]
