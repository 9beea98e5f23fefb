"""Trained further on new rows: `partial_fit`, or a warm start from what the model knows.

    partial_fit             SGD, naive Bayes, perceptrons, networks (not of "lbfgs"), also at the end of a pipeline
    more trees              forests and gradient boosting: the old trees stay, new ones learn from the new rows
    the oldest half anew    forests: as many trees as before, half of them grown on the new rows
    from its coefficients   logistic regression: a few iterations from where it stands

A histogram gradient boosting is not among them: its warm start bins the rows anew, and the old trees then see bins that
are not theirs (scikit-learn 1.9), so it may only go on with the very rows it began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_material import check_labelled
from autodeploy_magic.operate.retune.optimise.sklearn_new import (
    New,
    all_classes,
    more,
    new_rows,
    rows_again,
    with_rows,
)
from autodeploy_magic.operate.retune.optimise.sklearn_parts import last_step, library_of, reproducible, threaded

__all__ = ["Further"]

_FORESTS = ("RandomForest", "ExtraTrees", "Bagging")
_BOOSTED = "GradientBoosting"
_PASSES = (1, 5)
_ITERATIONS = 20
_SHARE_OF_TREES = 2


class Further(Optimiser):
    """The model that there is, trained on."""

    name = "sklearn_further"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        if champion.framework in ("xgboost", "lightgbm", "catboost"):
            raise NotApplicable(f"{champion.framework} trains further in a way of its own")
        check_labelled(champion, holdings.training, holdings.task, frameworks=("sklearn",))
        new = new_rows(champion, holdings)
        last, kind = last_step(new.rows.model), type(last_step(new.rows.model)).__name__
        if library_of(last) in ("xgboost", "lightgbm", "catboost"):
            raise NotApplicable(f"{library_of(last)} trains further in a way of its own")
        if _partial(last):
            passes = (1,) if kind.endswith("NB") else _PASSES
            return [
                _offer(new, f"trained further, {count} pass{'es' * (count > 1)}", how="partial_fit", passes=count)
                for count in passes
            ]
        if kind.startswith("Hist"):
            raise NotApplicable(f"the warm start of a {kind} is for the very rows it was fitted on")
        if not kind.startswith((*_FORESTS, _BOOSTED)) and kind != "LogisticRegression":
            raise NotApplicable(f"a {kind} cannot be trained further: it has no partial_fit, and no warm start")
        absent = all_classes(new)
        if absent:
            raise NotApplicable(f"it cannot be trained further: {absent}")
        if kind == "LogisticRegression":
            return [_offer(new, "trained further from its coefficients", how="iterations", iterations=_ITERATIONS)]
        count = _trees(last)
        offers = [_offer(new, f"{more(count)} more trees", how="trees", add=more(count), drop=0)]
        half = count // _SHARE_OF_TREES
        if kind.startswith(_FORESTS) and half:
            offers.insert(0, _offer(new, f"{half} of {count} trees grown anew", how="trees", add=half, drop=half))
        return offers

    def make(self, champion: Champion, given: Given) -> Made:
        check_labelled(champion, given.holdings.training, given.holdings.task, frameworks=("sklearn",))
        new, left = rows_again(champion, given)
        model = new.rows.model
        last, x = last_step(model), new.last_x
        how = given.settings["how"]
        with threaded(last, given.threads):
            if how == "partial_fit":
                said = _passes(last, x, new, int(given.settings["passes"]), given.seed)
            else:
                absent = all_classes(new)
                if absent:
                    raise NotApplicable(f"it cannot be trained further: {absent}")
                said = (_grown if how == "trees" else _iterated)(last, x, new, given)
        return Rebuilt(model, note="; ".join(word for word in (f"{said} on {new.rows.count} rows", left) if word))


def _offer(new: New, what: str, **settings: Any) -> Offer:
    return Offer(with_rows(new, what), {**settings, "since_s": new.since_s}, slow=True)


def _partial(last: Any) -> bool:
    return callable(getattr(last, "partial_fit", None))


def _trees(last: Any) -> int:
    return len(last.estimators_)


def _passes(last: Any, x: Any, new: New, passes: int, seed: int) -> str:
    """Go over the rows so many times, each time in another order."""
    import numpy as np

    from autodeploy_magic.operate.retune.optimise.sklearn_parts import rows_of

    early = getattr(last, "early_stopping", False)
    if early:
        last.set_params(early_stopping=False)  # which partial_fit refuses
        if getattr(last, "best_loss_", 0.0) is None:
            last.best_loss_ = float("inf")
    order = np.random.default_rng(seed)
    for _ in range(passes):
        places = order.permutation(new.rows.count)
        last.partial_fit(rows_of(x, places), new.rows.y[places])
    if early:
        last.set_params(early_stopping=early)
    return f"{passes} pass{'es' * (passes > 1)}"


def _grown(last: Any, x: Any, new: New, given: Given) -> str:
    """Grow trees on the rows; drop as many of the oldest as was said."""
    add, drop = int(given.settings["add"]), int(given.settings["drop"])
    before = {name: getattr(last, name) for name in ("warm_start", "random_state")}
    count = _trees(last)
    # By another seed than the first trees': a forest's n-th tree would draw the rows that its n-th drew before.
    last.set_params(warm_start=True, n_estimators=count + add, random_state=given.seed + count)
    last.fit(x, new.rows.y)
    if drop:
        last.estimators_ = last.estimators_[drop:]
        for name in {"estimators_features_", "_seeds"} & set(vars(last)):  # of a bagging, one for each tree
            setattr(last, name, getattr(last, name)[drop:])
    last.set_params(**before, n_estimators=count + add - drop)
    return f"{add} trees grown" + (f", the oldest {drop} dropped" if drop else "")


def _iterated(last: Any, x: Any, new: New, given: Given) -> str:
    """A few iterations from the coefficients that there are."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    before = {name: getattr(last, name) for name in ("warm_start", "max_iter")}
    reproducible(last, given.seed)
    iterations = int(given.settings["iterations"])
    last.set_params(warm_start=True, max_iter=iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that it stops before the end is what is wanted
        last.fit(x, new.rows.y)
    last.set_params(**before)
    return f"{iterations} iterations from its coefficients"
