"""A big model taught to a small one: what the champion answers is learned by a model that costs a fraction of it.

Knowledge distillation (Hinton, Vinyals and Dean 2015, arXiv:1503.02531): a classifier's probabilities are the targets,
not its answers alone. Few rows are made more as in MUNGE (Bucila, Caruana and Niculescu-Mizil 2006): a new row has some
values of a row and some of one like it. What prepares the rows stays as it was fitted.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autodeploy_magic.errors import NotApplicable, RetuneFailed
from autodeploy_magic.operate.retune.base import Given, Holdings, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.optimise.sklearn_size import large
from autodeploy_magic.operate.retune.optimise.sklearn_steps import (
    Parts,
    at,
    classes_of,
    gathered,
    is_classifier,
    needs_live,
    parted,
    probabilities,
)

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["Distil"]

LEAST_ROWS = 50
MOST_ROWS = 5000
ENOUGH_ROWS = 3000
"""Fewer rows than this are made as many."""
FOLDS = 3
NEIGHBOURS = 5
LEAST_WEIGHT = 0.01
"""A class that the champion gives less to is no target of that row."""

Step = tuple[str, Any]


class Distil(Optimiser):
    """The small models that fit are tried; the one that answers most like the champion, by cross-validation, is kept.

    How alike a classifier is: the share of rows with the champion's answer, less the mean difference of a row's
    probabilities (total variation); a regression: R² against the champion's values.
    """

    name: ClassVar = "sklearn_distil"
    family: ClassVar = "smaller"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        what = large(parted(needs_live(champion)).last)
        if not what:
            raise NotApplicable("it is small already", why="there is no ensemble of 50 trees and more, nor the like")
        rows = holdings.training.count + holdings.calibration.count
        if rows < LEAST_ROWS:
            raise NotApplicable(f"there are {rows} rows to learn from, and it takes {LEAST_ROWS}")
        return [
            Offer(f"{what} taught to a small model", {"size": "small"}, slow=True),
            Offer(f"{what} taught to a tiny model", {"size": "tiny"}, slow=True),
        ]

    def make(self, champion: Champion, given: Given) -> Rebuilt:
        started = time.monotonic()
        teacher = needs_live(champion)
        parts = parted(teacher)
        rows = gathered(given.holdings, MOST_ROWS, given.seed)
        lesson = _Lesson(teacher, parts, champion.fed(rows.x()), rows.count, given.seed)
        students = _students(lesson, str(given.settings["size"]), given.seed)
        scores: dict[str, float] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a network that would learn more in more epochs is judged as it is
            for words, student in students.items():
                if scores and time.monotonic() - started > given.within_s * 0.5:
                    break
                scores[words] = lesson.alike(student)
            best = max(scores, key=scores.__getitem__)
            steps = lesson.taught(students[best](), lesson.all_rows)
        others = ", ".join(f"{words} {score:.3f}" for words, score in scores.items() if words != best)
        note = f"{best}, {scores[best]:.3f} alike by {FOLDS}-fold cross-validation"
        note += f" ({others})" if others else ""
        note += f"; taught on {rows.count} rows" + (f" and {lesson.extra} made of them" if lesson.extra else "")
        return Rebuilt(parts.with_last(steps), note=note, changed={"student": best})


class _Lesson:
    """What the champion answers, to rows that there are and to rows that are made of these."""

    def __init__(self, teacher: Any, parts: Parts, x: Any, count: int, seed: int) -> None:
        import numpy as np

        self._teacher = teacher
        self.classifies = is_classifier(teacher)
        self.hides = self.classifies and not callable(getattr(teacher, "predict_proba", None))
        self.fed = parts.prepared(x)
        self.count = count
        self.answers = self._answers(x)
        wanted = max(ENOUGH_ROWS - count, 0)
        made, origins = _mixed(x, _numbers(self.fed), wanted, np.random.default_rng(seed)) if wanted else (None, None)
        if made is not None:
            self._made, self._origins = parts.prepared(made), np.asarray(origins)
            self._made_answers = self._answers(made)
        self.extra = 0 if made is None else wanted
        self.all_rows = np.arange(count)
        if not np.isfinite(self.answers).all():
            raise RetuneFailed("the champion answers with values that are no numbers", why="there is nothing to learn")

    def _answers(self, x: Any) -> Any:
        import numpy as np

        if self.classifies:
            return probabilities(self._teacher, x)
        return np.asarray(self._teacher.predict(x), dtype=np.float64)

    def alike(self, student: Callable[[], list[Step]]) -> float:
        """How alike it answers rows that it was not taught, nor rows that were made of them."""
        import numpy as np

        scores = []
        shuffled = np.random.default_rng(0).permutation(self.count)
        for fold in np.array_split(shuffled, FOLDS):
            steps = self.taught(student(), np.setdiff1d(self.all_rows, fold))
            model = Parts((), "", None).with_last(steps)
            scores.append(self._score(model, at(self.fed, fold), self.answers[fold]))
        return float(np.mean(scores))

    def taught(self, steps: list[Step], rows: Any) -> list[Step]:
        """Fit fresh steps to the answers of `rows`, and of those that were made of these alone."""
        import numpy as np

        x, answers = at(self.fed, rows), self.answers[rows]
        if self.extra:
            mine = np.flatnonzero(np.isin(self._origins, rows).all(axis=1))
            x, answers = _joined([x, at(self._made, mine)]), np.concatenate([answers, self._made_answers[mine]])
        for _, step in steps[:-1]:
            x = step.fit_transform(x)
        last = steps[-1][1]
        if not self.classifies:
            _fit_values(last, x, answers)
            return steps
        which, targets, weights = _weighted(answers)
        y = classes_of(self._teacher)[targets]
        if not self.hides:
            last.fit(at(x, which), y, sample_weight=weights)
            return steps
        return [*steps[:-1], (steps[-1][0], _without_probabilities(last, at(x, which), y, weights))]

    def _score(self, model: Any, x: Any, answers: Any) -> float:
        import numpy as np

        if not self.classifies:
            spread = float(((answers - answers.mean(axis=0)) ** 2).sum())
            off = float(((np.asarray(model.predict(x)).reshape(answers.shape) - answers) ** 2).sum())
            return 1.0 - off / spread if spread > 0 else float(off == 0)
        found = probabilities(model, x)
        agreement = float((found.argmax(axis=1) == answers.argmax(axis=1)).mean())
        return agreement - float(np.abs(found - answers).sum(axis=1).mean()) / 2


def _fit_values(student: Any, x: Any, y: Any) -> None:
    """Fit a regression. A network learns values of mean 0 and spread 1; its last layer then gives them as they are."""
    import numpy as np

    if not hasattr(student, "hidden_layer_sizes"):
        student.fit(x, y)
        return
    mean, spread = y.mean(axis=0), y.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    student.fit(x, (y - mean) / spread)
    student.coefs_[-1] = student.coefs_[-1] * spread
    student.intercepts_[-1] = student.intercepts_[-1] * spread + mean


def _weighted(answers: Any) -> tuple[Any, Any, Any]:
    """Soft targets as scikit-learn takes them: each row once for each class that is probable, with its probability.

    Every class stays one of the model's: the row that is likest to be of it is there, with whatever weight.
    """
    import numpy as np

    wanted = answers >= LEAST_WEIGHT
    wanted[answers.argmax(axis=0), np.arange(answers.shape[1])] = True
    which, targets = np.nonzero(wanted)
    return which, targets, np.maximum(answers[which, targets], 1e-6)


def _without_probabilities(student: Any, x: Any, y: Any, weights: Any) -> Any:
    """The student as a classifier that answers with classes alone, as the champion does: its outputs stay the same."""
    from sklearn.ensemble import VotingClassifier

    return VotingClassifier([("student", student)], voting="hard").fit(x, y, sample_weight=weights)


def _students(lesson: _Lesson, size: str, seed: int) -> dict[str, Callable[[], list[Step]]]:
    """Small models that take such rows, by what they are called; each call makes a fresh one's steps."""
    from sklearn import ensemble, linear_model, neural_network
    from sklearn.preprocessing import StandardScaler

    kind = "Classifier" if lesson.classifies else "Regressor"
    small = size == "small"
    several = not lesson.classifies and lesson.answers.ndim > 1
    first, sparse = _preparing(lesson.fed)

    def forest() -> list[Step]:
        trees, depth = (20, 10) if small else (5, 6)
        made = getattr(ensemble, f"RandomForest{kind}")(trees, max_depth=depth, min_samples_leaf=2, random_state=seed)
        return [*first(gaps=True), ("student", made)]

    def boosted() -> list[Step]:
        made = getattr(ensemble, f"HistGradientBoosting{kind}")(
            max_iter=40 if small else 12,
            learning_rate=0.15 if small else 0.3,
            max_leaf_nodes=16 if small else 8,
            early_stopping=False,
            random_state=seed,
        )
        return [*first(gaps=False), ("student", made)]

    def network() -> list[Step]:
        made = getattr(neural_network, f"MLP{kind}")(
            hidden_layer_sizes=(32,) if small else (8,),
            learning_rate_init=0.01,
            max_iter=60,
            tol=1e-5,
            random_state=seed,
        )
        return [*first(gaps=True), ("scale", StandardScaler(with_mean=not sparse)), ("student", made)]

    def linear() -> list[Step]:
        made = linear_model.LogisticRegression(max_iter=500) if lesson.classifies else linear_model.Ridge()
        return [*first(gaps=True), ("scale", StandardScaler(with_mean=not sparse)), ("student", made)]

    leaves = lesson.answers.shape[1] if lesson.classifies else 1  # trees of one round
    found = {"boosted trees": boosted, "a small forest": forest, "a small network": network, "a linear model": linear}
    if sparse or several or leaves > 10:
        del found["boosted trees"]
    return found


def _preparing(x: Any) -> tuple[Callable[..., list[Step]], bool]:
    """What a student needs before it: numbers for texts, values for gaps where it takes none; and if it is sparse."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    sparse, table = hasattr(x, "toarray"), hasattr(x, "columns")
    texts = [name for name in x.columns if getattr(x[name].dtype, "kind", "O") not in "fiub"] if table else []
    if table:
        incomplete = bool(x.drop(columns=texts).isna().any(axis=None))
    else:
        values = x.data if sparse else np.asarray(x)
        incomplete = values.dtype.kind == "f" and bool(np.isnan(values).any())

    def first(*, gaps: bool) -> list[Step]:
        steps: list[Step] = []
        if texts:
            encode = OneHotEncoder(handle_unknown="ignore", max_categories=30, sparse_output=False)
            steps.append(("encode", ColumnTransformer([("texts", encode, texts)], remainder="passthrough")))
        if incomplete and gaps:
            steps.append(("fill", SimpleImputer(strategy="median")))
        return steps

    return first, sparse


def _mixed(x: Any, fed: Any, wanted: int, random: Any) -> tuple[Any, Any]:
    """New rows, each of a row and one of its nearest, and which two; (None, None) where rows are not a table's.

    A column is taken from either with equal chance; where both have a real number, it may be any between theirs.
    """
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    if fed is None or not (hasattr(x, "iloc") or (isinstance(x, np.ndarray) and x.ndim == 2)) or len(x) <= NEIGHBOURS:
        return None, None
    spread = fed.std(axis=0)
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(fed / np.where(spread > 0, spread, 1.0))
    neighbours = near.kneighbors(return_distance=False)  # of the rows themselves, without each itself
    own = random.integers(0, len(x), wanted)
    other = neighbours[own, random.integers(0, neighbours.shape[1], wanted)]
    made, donors = at(x, own), at(x, other)
    if isinstance(made, np.ndarray):
        made = np.stack([_column(made[:, i], donors[:, i], random) for i in range(made.shape[1])], axis=1)
    else:
        made, donors = made.reset_index(drop=True), donors.reset_index(drop=True)
        for name in made.columns:
            made[name] = _column(made[name], donors[name], random)
    return made, np.stack([own, other], axis=1)


def _column(own: Any, other: Any, random: Any) -> Any:
    """Half of the values are the other's; of real numbers, as far towards the other's as chance has it."""
    import numpy as np

    swapped = random.random(len(own)) < 0.5
    part = random.random(len(own))
    if getattr(own.dtype, "kind", "O") != "f" or np.array_equal(own, np.round(own), equal_nan=True):
        return np.where(swapped, other, own) if isinstance(own, np.ndarray) else own.where(~swapped, other)
    between = np.where(np.isnan(own) | np.isnan(other), other, own + part.astype(own.dtype) * (other - own))
    found = np.where(swapped, between, own).astype(own.dtype)
    return found if isinstance(own, np.ndarray) else type(own)(found, index=own.index, name=own.name)


def _numbers(x: Any) -> Any:
    """What the last step is given as a matrix without gaps, to look for neighbours in; None where it is no numbers."""
    import numpy as np

    if hasattr(x, "toarray"):
        x = x.toarray() if math.prod(x.shape) < 20_000_000 else None
    elif hasattr(x, "columns"):
        x = x.select_dtypes(["number", "bool"])
        x = np.asarray(x, dtype=np.float64) if x.shape[1] else None
    try:
        found = None if x is None else np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return None if found is None or found.ndim != 2 else np.nan_to_num(found)


def _joined(parts: list[Any]) -> Any:
    import numpy as np

    if hasattr(parts[0], "toarray"):
        from scipy.sparse import vstack

        return vstack(parts).tocsr()
    if hasattr(parts[0], "columns"):
        import pandas as pd

        return pd.concat(parts, ignore_index=True)
    return np.concatenate(parts)
