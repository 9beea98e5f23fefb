"""What a model with scikit-learn's interface is trained with: its live object, rows as it is fed, labels in its terms.

Boosters' own wrappers have that interface too, and pipelines that end in one. What stands in the way is said here, in
the words of the table: code around the model that answers in its place, no labels, several targets.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.quality.pairs import class_name, resolve
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.labels import Mapped, as_classes, as_known_or_new, as_numbers
from autodeploy_magic.operate.retune.optimise.sklearn_parts import FRAMEWORKS, answers_of, library_of, rows_of
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.operate.retune.weights import in_time
from autodeploy_magic.wire import to_plain

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LABELS_HINT", "Material", "check_labelled", "live_of", "material", "missing"]

LABELS_HINT = "send true answers with POST /feedback or dep.feedback(…), or give a training set"
_ENOUGH_OF_EACH = 5
_FEWEST = 50
_ROWS_PER_COLUMN = 5
_MOST_FOR_COLUMNS = 500


@dataclass(frozen=True)
class Material:
    """A fresh live object and labelled rows for it, in their order of time (those of unknown age first).

    `x` is what the model itself is fed, `mapped` the labels, `at_s` when each row was asked, 0.0 where nobody knows.
    """

    model: Any
    x: Any
    mapped: Mapped
    at_s: np.ndarray
    classifies: bool

    @property
    def y(self) -> np.ndarray:
        return self.mapped.y

    @property
    def codes(self) -> np.ndarray:
        """Positions of the labels among the classes; only of a classifier."""
        assert self.mapped.codes is not None
        return self.mapped.codes

    @property
    def count(self) -> int:
        return len(self.mapped.y)

    @property
    def columns(self) -> int:
        """How many numbers a row has, as the model counts them."""
        known = getattr(self.model, "n_features_in_", 0)
        return int(known or (self.x.shape[1] if len(getattr(self.x, "shape", ())) > 1 else 1))

    def taken(self, positions: Sequence[int] | np.ndarray) -> Material:
        """Those at `positions`, in that order."""
        codes = None if self.mapped.codes is None else self.mapped.codes[positions]
        mapped = replace(self.mapped, y=self.mapped.y[positions], codes=codes)
        return replace(self, x=rows_of(self.x, positions), mapped=mapped, at_s=self.at_s[positions])

    def since(self, at_s: float) -> Material:
        """The rows that were asked at `at_s` or later; all for 0.0."""
        import numpy as np

        return self if at_s <= 0 else self.taken(np.flatnonzero(self.at_s >= at_s))

    def errors(self, model: Any) -> np.ndarray:
        """How wrong `model` is on each row: 1.0 for another class, or how far off its number is."""
        import numpy as np

        found = answers_of(model, self.x)
        if self.classifies:
            return np.asarray(found != self.y, dtype=np.float64)
        off = np.abs(np.asarray(found, dtype=np.float64).reshape(self.y.shape) - self.y)
        return off if off.ndim == 1 else np.asarray(off.mean(axis=1))


def check_labelled(champion: Champion, training: Rows, task: str, *, frameworks: Sequence[str] = FRAMEWORKS) -> None:
    """Raise `NotApplicable` for what no model of these frameworks is trained by; looks at no model yet."""
    if champion.framework not in frameworks:
        raise NotApplicable(f"it is a model of {champion.framework}, which has no fit(X, y)")
    if task not in ("classification", "regression"):
        raise NotApplicable(f"its task is {task}: labels are for classifiers and regressors")
    if not champion.has_live:
        champion.live()  # raises, and says why
    if "predict" in champion.code:
        raise NotApplicable(
            "predict(model, x) of the cell answers, so labels are not the model's own",
            fix="define retrain(model, X, y) in the cell",
        )
    if not training.count or not training.labels:
        raise NotApplicable("there are no labelled rows to train on", fix=LABELS_HINT)


def material(champion: Champion, training: Rows, task: str, *, new_classes: bool = False, targets: int = 0) -> Material:
    """The model and its labelled rows; a class that it never saw is kept with `new_classes`, where there are enough.

    `targets` is how many numbers a label is, where the model is not to be asked. Raises `NotApplicable`.
    """
    import numpy as np

    model = live_of(champion)
    if not targets:
        _check_fits(model)
    order = in_time(training.at_s or (0.0,) * training.count)
    rows = training.taken(order.tolist())
    x = champion.fed(rows.x())
    if _length(x) != rows.count:
        raise NotApplicable(f"preprocess makes {_length(x)} rows of {rows.count}: labels no longer match")
    classifies = task == "classification"
    labels = rows.labels if targets else _in_own_terms(champion, model, x, rows.labels)
    if classifies:
        classes = _classes(model)
        mapped = (as_known_or_new if new_classes else as_classes)(labels, classes)
    else:
        mapped = as_numbers(labels, targets or _targets(model, x))
    if not mapped.positions:
        raise NotApplicable(f"no label is one that the model can take: {mapped.note}", fix=LABELS_HINT)
    kept = np.asarray(mapped.positions)
    at_s = np.asarray(rows.at_s or (0.0,) * rows.count, dtype=np.float64)
    return Material(model, rows_of(x, kept), mapped, at_s[kept], classifies)


def missing(found: Material, *, of_each: int = _ENOUGH_OF_EACH, fewest: int = _FEWEST) -> str:
    """What is missing to fit the model anew, in words; "" for nothing.

    Asked are at least 50 rows, five for each column (up to 500), and five of each class that the model knows: the
    events per variable of P. Peduzzi et al. (1996), halved, for the gate judges what comes of it.
    """
    import numpy as np

    asked = max(fewest, min(_ROWS_PER_COLUMN * found.columns, _MOST_FOR_COLUMNS))
    if found.count < asked:
        return f"{asked - found.count} more labelled rows are needed ({found.count} of {asked})"
    if found.classifies:
        counts = np.bincount(found.codes, minlength=len(found.mapped.classes))
        few = [(found.mapped.classes[i], int(n)) for i, n in enumerate(counts) if n < of_each]
        if few:
            name, count = few[0]
            return f"at least {of_each} labelled rows of each class are needed: {name!r} has {count}"
    return ""


def live_of(champion: Champion) -> Any:
    """The live object, loaded anew. XGBoost's own file leaves parameters out that its class has: they get defaults."""
    model = champion.live()
    if library_of(model) == "xgboost" and hasattr(model, "get_params"):
        for kind in type(model).__mro__:
            own = vars(kind).get("__init__")
            for name, parameter in inspect.signature(own).parameters.items() if own is not None else ():
                if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) and not hasattr(model, name):
                    setattr(model, name, None if parameter.default is parameter.empty else parameter.default)
    return model


def _check_fits(model: Any) -> None:
    if not all(hasattr(model, name) for name in ("get_params", "fit", "predict")):
        raise NotApplicable(f"a {type(model).__name__} has no fit(X, y)")
    if type(model).__name__.endswith("Ranker"):
        raise NotApplicable("a ranker is trained on groups of rows, and labels come row by row")


def _classes(model: Any) -> Any:
    classes = getattr(model, "classes_", None)
    if classes is None:
        raise NotApplicable(f"{type(model).__name__} does not say which classes it knows")
    if isinstance(classes, list) and classes and hasattr(classes[0], "__len__") and not isinstance(classes[0], str):
        raise NotApplicable("it answers several targets at once: a label is one class")
    return classes


def _targets(model: Any, x: Any) -> int:
    found = answers_of(model, rows_of(x, [0]))
    return int(found.shape[1]) if found.ndim > 1 else 1


def _length(x: Any) -> int:
    shape = getattr(x, "shape", None)
    return int(shape[0]) if shape else len(x)


def _in_own_terms(champion: Champion, model: Any, x: Any, labels: Sequence[Any]) -> Sequence[Any]:
    """The labels as the model itself answers, where a postprocess says it in other words ("cat" for 1).

    Raises `NotApplicable` where it cannot be turned round: it does more than rename classes.
    """
    import numpy as np

    if "postprocess" not in champion.code:
        return labels
    cannot = NotApplicable(
        "postprocess of the cell changes the answers in a way that cannot be turned round: labels are in its terms",
        fix="define retrain(model, X, y) in the cell",
    )
    raw = answers_of(model, rows_of(x, list(range(min(_length(x), 500)))))
    known = getattr(model, "classes_", None)
    if isinstance(known, np.ndarray):
        raw = np.concatenate([raw, known.astype(raw.dtype)]) if raw.ndim == 1 else raw
    try:
        said = to_plain(champion.code["postprocess"](raw.copy()))
    except Exception as error:  # the person's own code, given classes that it may not know
        raise cannot from error
    before = raw.tolist()
    if said == before:
        return labels
    if not isinstance(said, list) or len(said) != len(before) or not isinstance(known, np.ndarray):
        raise cannot
    back: dict[str, Any] = {}
    for own, word in zip(before, said, strict=True):
        name = class_name(word)
        if name is None or back.setdefault(name, own) != own:
            raise cannot
    if len(set(map(class_name, back.values()))) != len(back):
        raise cannot
    named = [class_name(label) for label in labels]
    return [None if name is None else back.get(resolve(name, back)) for name in named]
