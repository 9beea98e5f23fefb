"""What a network's numbers mean beside the labels of rows: a score of each class, one chance, or measured values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.quality.pairs import class_name
from autodeploy_magic.operate.retune.base import Offer
from autodeploy_magic.operate.retune.labels import Mapped, as_classes, as_numbers
from autodeploy_magic.operate.retune.weights import balanced, by_age, half_life, imbalanced, in_time, turn
from autodeploy_magic.wire.libraries import from_library

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.rows import Rows

__all__ = ["EPOCHS", "FEWEST", "TRAINED_ON", "Form", "Targets", "form_of", "odds", "parted", "targets_of"]

EPOCHS = 40
TRAINED_ON = (
    Offer("all layers trained on", {"layers": "all", "pace": 0.01}, slow=True),
    Offer("all layers trained on, in larger steps", {"layers": "all", "pace": 0.05}, slow=True),
    Offer("last layer trained on", {"layers": "last", "pace": 0.02}, slow=True),
)
"""A hundredth of its size is how much a weight changes in a step of usual training (L. Bottou's rule of a thousandth
is of plain gradient descent; AdamW divides the gradient by its own size); five times that forgets sooner."""
FEWEST = 40
"""Labelled rows that there must be: a fifth of them says when to stop."""

_ASIDE = 0.2
_SUMS = 1e-3
"""How far from 1 the sum of float32 probabilities may be."""
_SURE_LOGIT = 8.0
"""A score that says yes to whatever reads it, where the others are minus as much: e^-16 of a softmax is left."""
_ENOUGH_SINCE = 200
"""Rows since a turn that suffice without those before it."""
_BEFORE_TURN = 0.1

Form = Literal["logits", "log", "probabilities", "sigmoid", "numbers"]
"""How answers are given: scores before a softmax or a sigmoid, logarithms of probabilities, probabilities that sum up
to 1, chances of their own, or measured values."""


@dataclass(frozen=True)
class Targets:
    """What the answers to some rows should have been.

    `kind` is "classes" (`values` are positions of classes, int64), "chances" (0 or 1, in the shape of the answers) or
    "numbers" (in the shape of the answers, float32). They are of the rows at `positions`, each of which counts
    `weights`, on the mean 1. `classes` are the names of the classes. `notes` say what was left out.
    """

    kind: Literal["classes", "chances", "numbers"]
    form: Form
    positions: NDArray[np.int64]
    values: NDArray[Any]
    weights: NDArray[np.float32]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> float:
        """The standard deviation of numbers, by which their errors are measured; never 0."""
        return float(np.std(self.values)) or 1.0 if self.kind == "numbers" else 1.0


def form_of(answers: NDArray[Any]) -> Form:
    """How a network gives what it answered, read from its numbers: many rows do not sum up to 1 by chance."""
    if answers.ndim == 2 and answers.shape[1] > 1:
        if answers.min() >= 0 and np.allclose(answers.sum(1), 1, atol=_SUMS):
            return "probabilities"
        if answers.max() <= _SUMS and np.allclose(np.exp(answers).sum(1), 1, atol=_SUMS):
            return "log"
    return "sigmoid" if answers.min() >= 0 and answers.max() <= 1 else "logits"


def targets_of(
    rows: Rows,
    answers: Any,
    task: str,
    postprocess: Callable[[Any], Any] | None,
    wrap: Callable[[Any], Any],
    classes: Sequence[str] = (),
) -> Targets:
    """What `answers`, a network's own to the rows, should have been by their labels.

    `classes` are the names of its classes in order, where it tells them itself. `postprocess` is the person's, which
    makes of the answers what the labels speak of; `wrap` makes of an array what it is given. Raises `NotApplicable`
    where answers and labels do not speak of the same.
    """
    found = np.asarray(answers, dtype=np.float64)
    if found.shape[:1] != (rows.count,) or found.ndim > 2 or not np.isfinite(found).all():
        raise NotApplicable(f"its answers (of the shape {found.shape}) are none that a label can be held against")
    width, form = _width(found), form_of(found)
    if classes:
        known = as_classes(rows.labels, classes)
        if len(known.positions) > rows.count / 2:
            return _classes(rows, found, form, known, list(classes))
    if task != "regression" and width > 1:
        names = _names(form, found, postprocess, wrap)
        mapped = as_classes(rows.labels, names)
        if len(mapped.positions) > rows.count / 2:
            return _classes(rows, found, form, mapped, names)
    if task != "regression" and width == 1:
        names = _names(form, found, postprocess, wrap)
        mapped = as_classes(rows.labels, names)
        if _are_chances(found, form, rows, mapped, own=postprocess is not None):
            return _chances(rows, found, form, mapped, names)
    return _numbers(rows, found, width, form, postprocess, wrap)


def parted(targets: Targets, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in `targets` to learn from, and a fifth that is kept aside to know when to stop; of each class alike."""
    random = np.random.default_rng(seed)
    counted = targets.weights > 0
    codes = targets.values if targets.kind == "classes" else np.zeros(len(targets.positions), dtype=np.int64)
    if targets.kind == "chances" and targets.values[0].size == 1:
        codes = targets.values.reshape(-1).astype(np.int64)
    aside: list[int] = []
    for code in np.unique(codes):
        places = random.permutation(np.flatnonzero((codes == code) & counted))
        aside += places[: round(len(places) * _ASIDE)].tolist()
    chosen = np.zeros(len(codes), dtype=bool)
    chosen[aside] = True
    return random.permutation(np.flatnonzero(~chosen & counted)), np.flatnonzero(chosen)


def odds(answers: NDArray[Any], form: Form) -> NDArray[np.float64]:
    """Answers of classes as scores whose softmax gives the probabilities."""
    found = np.asarray(answers, dtype=np.float64)
    return np.log(np.clip(found, 1e-12, None)) if form == "probabilities" else found


# --- which class a place stands for


def _width(answers: NDArray[Any]) -> int:
    return answers.shape[1] if answers.ndim == 2 else 1


def _names(
    form: Form, like: NDArray[Any], postprocess: Callable[[Any], Any] | None, wrap: Callable[[Any], Any]
) -> list[str]:
    """The names of the classes in the order of the answers' columns; of one column that of "no" and that of "yes".

    What a postprocess makes of an answer that is sure of a class is that class's name. Raises `NotApplicable` where it
    makes no names.
    """
    width = _width(like)
    count = max(width, 2)
    if postprocess is None:
        return [str(i) for i in range(count)]
    try:
        said = _listed(postprocess(wrap(_sure(form, like).astype(np.float32))))
    except Exception as error:
        raise NotApplicable(
            "what its postprocess makes of the answers cannot be taken back to them",
            why=f"it raised {type(error).__name__} for made-up ones: {error}"[:200],
            fix="define retrain(model, X, y) in the cell, which is given the labels as they are",
        ) from error
    scored = [item for item in said if isinstance(item, list) and len(item) == width > 1]
    if len(scored) == count:  # probabilities of what were scores: the places stay
        return [str(i) for i in range(count)] if [int(np.argmax(item)) for item in scored] == [*range(count)] else []
    names = [name for name in map(class_name, said) if name is not None]
    if len(names) == count == len(set(names)):
        return names
    raise NotApplicable(
        "what its postprocess makes of the answers are not its classes",
        why=f"{count} answers, each sure of another class, became {said!r:.80}",
        fix="define retrain(model, X, y) in the cell, which is given the labels as they are",
    )


def _sure(form: Form, like: NDArray[Any]) -> NDArray[np.float64]:
    """Answers in the shape of others that are sure of each class in turn."""
    width = _width(like)
    if width == 1:
        no, yes = (0.0, 1.0) if form == "sigmoid" else (-_SURE_LOGIT, _SURE_LOGIT)
        return np.array([no, yes]).reshape(2, *like.shape[1:])
    eye = np.eye(width)
    if form in ("probabilities", "sigmoid"):
        return eye
    return (eye - 1) * 2 * _SURE_LOGIT if form == "log" else (2 * eye - 1) * _SURE_LOGIT


def _listed(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = value.get("predictions", next(iter(value.values()), None))
    plain = from_library(value)
    plain = plain.to_numpy() if hasattr(plain, "to_numpy") else plain
    found = plain.tolist() if hasattr(plain, "tolist") else plain
    return list(found)


# --- the three kinds


def _classes(rows: Rows, answers: NDArray[Any], form: Form, mapped: Mapped, names: list[str]) -> Targets:
    positions, codes = np.asarray(mapped.positions, dtype=np.int64), mapped.codes
    assert codes is not None
    weights, note = _weights(rows, positions, answers[positions].argmax(1) != codes, codes)
    return Targets("classes", form, positions, codes, weights, tuple(names), _said(mapped.note, note))


def _are_chances(answers: NDArray[Any], form: Form, rows: Rows, mapped: Mapped, *, own: bool) -> bool:
    """Whether one number is a chance, or the score of one, and no value that was measured as 0 or 1.

    A score of a chance has its threshold at 0, a value at a half: whichever agrees better with the labels.
    """
    if len(mapped.positions) <= rows.count / 2:
        return False
    if own or form == "sigmoid":
        return True
    values, true = answers.reshape(-1)[list(mapped.positions)], mapped.codes == 1
    return bool(((values > 0) == true).mean() >= ((values > 0.5) == true).mean())


def _chances(rows: Rows, answers: NDArray[Any], form: Form, mapped: Mapped, names: list[str]) -> Targets:
    positions, codes = np.asarray(mapped.positions, dtype=np.int64), mapped.codes
    assert codes is not None
    wrong = (answers[positions].reshape(-1) > (0.5 if form == "sigmoid" else 0.0)) != (codes == 1)
    weights, note = _weights(rows, positions, wrong, codes)
    values = codes.astype(np.float32).reshape(-1, *answers.shape[1:])
    return Targets("chances", form, positions, values, weights, tuple(names), _said(mapped.note, note))


def _numbers(
    rows: Rows,
    answers: NDArray[Any],
    width: int,
    form: Form,
    postprocess: Callable[[Any], Any] | None,
    wrap: Callable[[Any], Any],
) -> Targets:
    mapped = as_numbers(rows.labels, width)
    if len(mapped.positions) <= rows.count / 2:
        kinds = f"one of {width} classes by its position" if width > 1 else "a number"
        raise NotApplicable(
            f"the labels ({rows.labels[0]!r:.40}, …) do not say what the network answers: {kinds}",
            fix="let postprocess make the names of classes, or define retrain(model, X, y) in the cell",
        )
    if postprocess is not None:
        _check_same(answers, postprocess, wrap)
    positions = np.asarray(mapped.positions, dtype=np.int64)
    values = mapped.y.reshape(-1, *answers.shape[1:]).astype(np.float32)
    if form == "sigmoid" and width > 1 and np.isin(values, (0, 1)).all():  # several classes at once
        wrong = ((answers[positions] > 0.5) != (values > 0.5)).mean(1)
        weights, note = _weights(rows, positions, wrong, None)
        return Targets("chances", form, positions, values, weights, (), _said(mapped.note, note))
    off = np.abs(answers[positions] - values).reshape(len(positions), -1).mean(1)
    weights, note = _weights(rows, positions, off, None)
    return Targets("numbers", "numbers", positions, values, weights, (), _said(mapped.note, note))


def _check_same(answers: NDArray[Any], postprocess: Callable[[Any], Any], wrap: Callable[[Any], Any]) -> None:
    """Raise `NotApplicable` where a postprocess makes other numbers of answers: labels speak of those."""
    try:
        said = np.asarray(_listed(postprocess(wrap(answers.astype(np.float32)))), dtype=np.float64)
        same = said.size == answers.size and np.allclose(said.reshape(-1), answers.reshape(-1), rtol=1e-3, atol=1e-5)
    except Exception:  # noqa: BLE001  # the person's code, which may raise anything, was given what it is always given
        same = False
    if not same:
        raise NotApplicable(
            "its postprocess makes other numbers of the network's, and the labels speak of those",
            fix="define retrain(model, X, y) in the cell, which is given the labels as they are",
        )


def _weights(
    rows: Rows, positions: NDArray[np.int64], errors: NDArray[Any], codes: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], str]:
    """How much each row counts, and what was found: rows since the model's errors grew before all, new ones a little
    more than old ones, rare classes more by the root of what would make all alike."""
    at = np.asarray(rows.at_s, dtype=np.float64)[positions] if rows.at_s else np.zeros(len(positions))
    note = ""
    order = in_time(at)
    found = turn(errors[order].astype(np.float64), at[order]) if half_life(at) else None
    if found is not None:
        since = len(order) - found.at
        weights = np.ones(len(order))
        weights[order[: found.at]] = 0.0 if since >= _ENOUGH_SINCE else _BEFORE_TURN
        note = f"its errors grew {since} rows ago: those before count {weights.min():g}"
    elif half_life(at):
        weights = by_age(at, 4 * half_life(at))  # the oldest count half
    else:
        weights = np.ones(len(positions))
    if codes is not None and imbalanced(codes):
        weights = weights * np.sqrt(balanced(codes))
    return (weights / weights.mean()).astype(np.float32), note


def _said(*notes: str) -> tuple[str, ...]:
    return tuple(note for note in notes if note)
