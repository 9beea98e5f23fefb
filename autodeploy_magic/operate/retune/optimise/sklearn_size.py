"""How large an estimator is, where that costs time at each request, in words."""

from __future__ import annotations

from typing import Any

__all__ = ["large"]

TREES = 50
NEIGHBOURS = 500
VECTORS = 200


def large(model: Any) -> str:
    """What a person calls it where it is large ("300 trees", "1797 neighbours"); "" for a small one.

    Counted by what scikit-learn and the boosters name alike; an ensemble is as large as its members together.
    """
    trees = _trees(model)
    if trees >= TREES:
        return f"{trees} trees"
    members = _members(model)
    for member in (model, *members):
        rows = getattr(member, "n_samples_fit_", 0) if hasattr(member, "n_neighbors") else 0
        if rows >= NEIGHBOURS:
            return f"{rows} neighbours"
        vectors = getattr(member, "support_vectors_", None)
        count = 0 if vectors is None else int(vectors.shape[0])
        if count >= VECTORS:
            return f"{count} support vectors"
        if type(member).__name__.startswith("GaussianProcess"):
            return "a Gaussian process"
    several = type(model).__name__.startswith(("Stacking", "Voting", "Bagging", "Calibrated")) and len(members) > 1
    return f"{len(members)} models" if several else ""


def _trees(model: Any) -> int:
    """The trees in it; 0 where there are none."""
    if hasattr(model, "n_trees_per_iteration_"):  # HistGradientBoosting's
        return int(model.n_iter_ * model.n_trees_per_iteration_)
    if hasattr(model, "tree_"):
        return 1
    found = _of_booster(model)
    return found or sum(_trees(member) for member in _members(model))


def _of_booster(model: Any) -> int:
    """Trees of XGBoost, LightGBM or CatBoost within a pipeline, by the names of their scikit-learn interfaces."""
    module = type(model).__module__.partition(".")[0]
    if module == "xgboost":
        classes = int(getattr(model, "n_classes_", 1))
        return int(model.get_booster().num_boosted_rounds()) * (classes if classes > 2 else 1)
    if module == "lightgbm":
        return int(model.booster_.num_trees())
    if module == "catboost":
        return int(model.tree_count_)
    return 0


def _members(model: Any) -> list[Any]:
    """The fitted estimators that it asks: an ensemble's, a stack's with the last one, what a wrapper holds."""
    found: list[Any] = []
    for name in ("estimators_", "calibrated_classifiers_", "final_estimator_", "regressor_", "estimator_", "estimator"):
        inner: Any = getattr(model, name, None)
        if name.startswith("estimator") and found:
            break  # what it was told to make its members of
        if isinstance(inner, list):
            found += [one for one in inner if not isinstance(one, str)]
        elif hasattr(inner, "ravel"):
            found += list(inner.ravel())
        elif hasattr(inner, "predict"):
            found.append(inner)
    return [one.steps[-1][1] if hasattr(one, "steps") else one for one in found]
