"""A scikit-learn model taken apart, what prepares the rows from what answers; and the rows that teach another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.labels import as_classes, as_numbers
from autodeploy_magic.operate.retune.rows import Rows

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.base import Holdings
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = [
    "Parts",
    "Targets",
    "at",
    "classes_of",
    "gathered",
    "is_classifier",
    "needs_live",
    "parted",
    "probabilities",
    "some",
    "targets",
]


class Parts(NamedTuple):
    """A pipeline's steps before its last one, fitted; and that one. `head` is () for a model that is no pipeline."""

    head: tuple[tuple[str, Any], ...]
    name: str
    last: Any

    def prepared(self, x: Any) -> Any:
        """The rows as the last step is given them."""
        for _, step in self.head:
            x = x if step in (None, "passthrough") else step.transform(x)
        return x

    def with_last(self, steps: Sequence[tuple[str, Any]]) -> Any:
        """The same preparation with other steps at the end; a single estimator where that is all."""
        from sklearn.pipeline import Pipeline

        if not self.head and len(steps) == 1:
            return steps[0][1]
        taken = {name for name, _ in self.head}
        return Pipeline([*self.head, *((f"{name}_" if name in taken else name, step) for name, step in steps)])


class Targets(NamedTuple):
    """Rows as the model is fed them, and what it is to answer: true labels, or what it answers itself. `words` say
    which, and how many.
    """

    x: Any
    y: Any
    labelled: bool
    words: str


def needs_live(champion: Champion) -> Any:
    """The live object, without a search around it. Raises `NotApplicable` where it is not one that answers alone."""
    if champion.framework != "sklearn":
        raise NotApplicable("it is not a scikit-learn model")
    model = champion.live()
    if "predict" in champion.code:
        raise NotApplicable("a predict function of your own stands around it", why="it decides what the model is asked")
    while hasattr(model, "best_estimator_"):
        model = model.best_estimator_
    if not callable(getattr(model, "predict", None)) or champion.version.task not in ("classification", "regression"):
        raise NotApplicable(f"its task is {champion.version.task or 'unknown'}, not classification or regression")
    if isinstance(getattr(model, "classes_", None), list):
        raise NotApplicable("it classifies by several targets at once")
    return model


def parted(model: Any) -> Parts:
    """Take a pipeline apart, nested ones too."""
    from sklearn.pipeline import Pipeline

    head: list[tuple[str, Any]] = []
    name = type(model).__name__.lower()
    while isinstance(model, Pipeline):
        *before, (name, last) = model.steps
        head += before
        model = last
    return Parts(tuple(head), name, model)


def is_classifier(model: Any) -> bool:
    """Whether it says so itself."""
    from sklearn.base import is_classifier

    return bool(is_classifier(model))


def classes_of(model: Any) -> Any:
    """The classes in the order of its probabilities; of an estimator that cannot tell, what it names by itself."""
    import numpy as np

    return np.asarray(model.classes_)


def probabilities(model: Any, x: Any) -> Any:
    """One row of probabilities for each of `x`; of a model that has none, 1 for the class it answers."""
    import numpy as np

    if callable(getattr(model, "predict_proba", None)):
        return np.asarray(model.predict_proba(x), dtype=np.float64)
    return (np.asarray(model.predict(x)).reshape(-1, 1) == classes_of(model).reshape(1, -1)).astype(np.float64)


def gathered(holdings: Holdings, most: int, seed: int) -> Rows:
    """The training and the calibration rows together, each once and without labels; `most` of them, drawn by `seed`.

    One that stands in both would be taught in one part of a cross-validation, and asked for in another.
    """
    training, calibration = holdings.training, holdings.calibration
    a, b = training.inputs, calibration.inputs
    inputs: Any
    if not training.count:
        inputs = b
    elif isinstance(a, dict) and isinstance(b, dict):
        inputs = {name: [*a[name], *b[name]] for name in a}
    elif isinstance(a, list) and isinstance(b, list):
        inputs = [*a, *b]
    else:  # one of them came as columns, the other as rows
        largest = max((training, calibration), key=lambda rows: rows.count)
        return some(Rows(largest.signature, largest.inputs, largest.count), most, seed)
    rows = Rows(calibration.signature, inputs, training.count + calibration.count)
    places = {msgspec.json.encode(_row(inputs, i), order="deterministic"): i for i in reversed(range(rows.count))}
    return some(rows.taken(sorted(places.values())), most, seed)


def _row(inputs: Any, i: int) -> Any:
    return [values[i] for values in inputs.values()] if isinstance(inputs, dict) else inputs[i]


def some(rows: Rows, most: int, seed: int) -> Rows:
    """`most` of the rows, drawn by `seed` and in their own order."""
    import numpy as np

    if rows.count <= most:
        return rows
    drawn = np.random.default_rng(seed).choice(rows.count, most, replace=False)
    return rows.taken(sorted(int(i) for i in drawn))


def targets(champion: Champion, model: Any, holdings: Holdings, most: int, seed: int, *, least: int) -> Targets:
    """The labelled rows where they are `least` and of each class one; else all rows with the champion's own answers."""
    found = _labelled(champion, model, some(holdings.training, most, seed), least)
    if found is not None:
        return found
    rows = gathered(holdings, most, seed)
    x = champion.fed(rows.x())
    return Targets(x, model.predict(x), False, f"the champion's own answers to {rows.count} rows, for want of labels")


def _labelled(champion: Champion, model: Any, rows: Rows, least: int) -> Targets | None:
    import numpy as np

    if not rows.labels or "postprocess" in champion.code:  # labels are of what clients are answered
        return None
    if is_classifier(model):
        known = classes_of(model)
        mapped = as_classes(rows.labels, known)
        complete = len(np.unique(mapped.y)) == len(known)
    else:
        shape = champion.version.outputs[0].shape
        mapped, complete = as_numbers(rows.labels, shape[0] if shape else 1), True
        if shape and mapped.y.ndim == 1:
            mapped = replace(mapped, y=mapped.y.reshape(-1, 1))
    if len(mapped.positions) < least or not complete:
        return None
    left = f" ({mapped.note})" if mapped.note else ""
    x = champion.fed(rows.taken(mapped.positions).x())
    return Targets(x, mapped.y, True, f"{len(mapped.positions)} labelled rows{left}")


def at(x: Any, positions: Any) -> Any:
    """Rows of a table, an array or a sparse matrix."""
    return x.iloc[positions] if hasattr(x, "iloc") else x[positions]
