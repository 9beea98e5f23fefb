"""Classifiers that say probabilities, and rows to see whether these are true: for calibration, and for a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Holdings
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_material import LABELS_HINT, Material, check_labelled, material
from autodeploy_magic.operate.retune.optimise.sklearn_new import fed_last, new_rows
from autodeploy_magic.operate.retune.optimise.sklearn_parts import last_step

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FOLDS", "Probable", "probable"]

FOLDS = 5
_FEWEST = 100
_OF_EACH = 10


@dataclass(frozen=True)
class Probable:
    """A classifier and labelled rows that it was not fitted on.

    `last` is what answers: the last step of a pipeline, without the wrapper of an earlier re-tune; it is fed `last_x`,
    and its probabilities of these are `probabilities`. `words` say which rows they are.
    """

    rows: Material
    last: Any
    last_x: Any
    probabilities: np.ndarray
    since_s: float
    words: str

    @property
    def note(self) -> str:
        return self.rows.mapped.note

    def around(self, wrapper: Any) -> Any:
        """The model with `wrapper` in the place of its last step."""
        model = self.rows.model
        if last_step(model) is model:
            return wrapper
        model.steps[-1] = (model.steps[-1][0], wrapper)
        return model


def probable(
    champion: Champion, holdings: Holdings, feature: str, wrapper: str, since_s: float | None = None
) -> Probable:
    """The champion's classifier with labelled rows: the traffic's, where there are any.

    `wrapper` is the class that an earlier re-tune may have put around it, and which is made anew. Raises
    `NotApplicable` where there are fewer than 100 rows, or than ten of a class.
    """
    import numpy as np

    check_labelled(champion, holdings.training, holdings.task)
    if holdings.task != "classification":
        raise NotApplicable(f"{feature} is for classifiers")
    new = new_rows(champion, holdings)
    since = new.since_s if since_s is None else since_s
    rows = new.rows if since == new.since_s else material(champion, holdings.training, holdings.task).since(since)
    last = _without(last_step(rows.model), wrapper)
    if not hasattr(last, "predict_proba"):
        raise NotApplicable(f"a {type(last).__name__} says no probabilities")
    counts = np.bincount(rows.codes, minlength=len(rows.mapped.classes))
    lacking = max(_FEWEST - rows.count, int((_OF_EACH - counts).max()))
    if lacking > 0:
        raise NotApplicable(
            f"{feature} needs {lacking} more labelled rows: {_FEWEST}, and {_OF_EACH} of each class", fix=LABELS_HINT
        )
    last_x = fed_last(rows.model, rows.x)
    found = np.asarray(last.predict_proba(last_x), dtype=np.float64)
    if found.shape != (rows.count, len(counts)):
        raise NotApplicable("its probabilities are not one for each class")
    return Probable(rows, last, last_x, found, since, new.words)


def _without(model: Any, wrapper: str) -> Any:
    """What is beneath the calibration, or the threshold, of an earlier re-tune."""
    from sklearn.frozen import FrozenEstimator

    if type(model).__name__ == wrapper and isinstance(getattr(model, "estimator", None), FrozenEstimator):
        return _without(model.estimator.estimator, wrapper)
    return model
