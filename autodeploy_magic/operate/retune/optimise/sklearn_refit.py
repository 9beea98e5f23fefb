"""The same kind of model, fitted anew on labelled rows; rare classes, or recent rows, may count more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_drift import Drift, drift_of
from autodeploy_magic.operate.retune.optimise.sklearn_material import (
    LABELS_HINT,
    Material,
    check_labelled,
    material,
    missing,
)
from autodeploy_magic.operate.retune.optimise.sklearn_parts import last_step, reproducible, threaded
from autodeploy_magic.operate.retune.weights import balanced, by_age, half_life, imbalanced

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Refit", "fitted", "thawed"]


class Refit(Optimiser):
    """`clone(model).fit(X, y)` on the labelled rows: plain, or with weights, or since the errors rose."""

    name = "sklearn_refit"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        check_labelled(champion, holdings.training, holdings.task)
        found = material(champion, holdings.training, holdings.task, new_classes=True)
        lacking = missing(found)
        if lacking:
            raise NotApplicable(f"it cannot be fitted anew: {lacking}", fix=LABELS_HINT)
        drift = drift_of(found)
        plain = Offer(f"fitted anew on {found.count} rows", {"weights": "none"}, slow=True)
        offers = [*_after(found, drift), plain]
        own = getattr(last_step(found.model), "class_weight", None)
        if found.classifies and own is None and imbalanced(found.codes):
            offers.append(Offer("fitted anew, each class counts alike", {"weights": "balanced"}, slow=True))
        return offers

    def make(self, champion: Champion, given: Given) -> Made:
        holdings = given.holdings
        check_labelled(champion, holdings.training, holdings.task)
        whole = material(champion, holdings.training, holdings.task, new_classes=True)
        found = whole.since(float(given.settings.get("since_s", 0.0)))
        lacking = missing(found)
        if lacking:
            raise NotApplicable(f"it cannot be fitted anew: {lacking}", fix=LABELS_HINT)
        weights = _weights(found, given)
        model, how = fitted(found, weights, given.seed, given.threads)
        new = f"learnt {', '.join(map(repr, found.mapped.new))}, which it did not know" if found.mapped.new else ""
        words = (f"fitted on {found.count} rows", how, new, whole.mapped.note)
        return Rebuilt(model, note="; ".join(word for word in words if word))


def fitted(found: Material, weights: np.ndarray | None, seed: int, threads: int) -> tuple[Any, str]:
    """A clone of the model, fitted on these rows; and in words how the weights came in.

    A model whose fit takes no weights is given rows drawn by them instead, with repetitions.
    """
    import numpy as np
    from sklearn.base import clone
    from sklearn.utils.validation import has_fit_parameter

    model = reproducible(thawed(clone(found.model)), seed)
    x, y, options, how = found.x, found.y, {}, ""
    if weights is not None:
        last = last_step(model)
        if has_fit_parameter(last, "sample_weight") and _passes_weights(last):
            place = f"{model.steps[-1][0]}__sample_weight" if last is not model else "sample_weight"
            options, how = {place: weights}, "weighted"
        else:
            drawn = np.random.default_rng(seed).choice(found.count, found.count, p=weights / weights.sum())
            if found.classifies:  # one row of each class, whatever was drawn
                drawn = np.concatenate([drawn, np.unique(found.codes, return_index=True)[1]])
            part = found.taken(np.sort(drawn))
            x, y, how = part.x, part.y, "rows drawn by their weights"
    with threaded(model, threads):
        model.fit(x, y, **options)
    return model, how


def thawed(model: Any) -> Any:
    """An unfitted model in which nothing is frozen: a calibration of an earlier re-tune is fitted with its model."""
    from sklearn.base import clone
    from sklearn.frozen import FrozenEstimator

    if isinstance(model, FrozenEstimator):
        return thawed(clone(model.estimator))
    for name, value in list(model.get_params(deep=False).items()):
        if isinstance(value, FrozenEstimator):
            model.set_params(**{name: thawed(value)})
            if "ensemble" in model.get_params(deep=False):
                model.set_params(ensemble=False)  # one model, as it was, and not one a fold
        elif name == "steps":
            model.steps = [(key, thawed(step) if hasattr(step, "get_params") else step) for key, step in value]
        elif name == "estimator" and hasattr(value, "get_params"):
            model.set_params(estimator=thawed(value))
    return model


def _after(found: Material, drift: Drift) -> list[Offer]:
    """Where the model has come to answer worse: with the rows since then alone, and with recent rows counting more."""
    offers = []
    if drift.found is not None or drift.apart:
        since = drift.found.at_s if drift.found is not None else drift.traffic_s
        after = found.since(since)
        if not missing(after) and after.count < found.count:
            which = "since its errors rose" if drift.found is not None else "of the traffic"
            title = f"fitted anew on the {after.count} rows {which} ({drift.words})"
            offers.append(Offer(title, {"weights": "none", "since_s": since}, slow=True))
        half = half_life(found.at_s)
        if half:
            title = f"fitted anew, recent rows count more (half-life {_span(half)})"
            offers.append(Offer(title, {"weights": "recent", "half_life_s": half}, slow=True))
    return offers


def _weights(found: Material, given: Given) -> np.ndarray | None:
    how = given.settings.get("weights", "none")
    if how == "balanced":
        return balanced(found.codes)
    if how == "recent":
        return by_age(found.at_s, float(given.settings["half_life_s"]))
    return None


def _passes_weights(last: Any) -> bool:
    """Whether what it wraps takes weights as well."""
    from sklearn.utils.validation import has_fit_parameter

    inner = getattr(last, "estimator", None)
    members = [inner] if hasattr(inner, "fit") else [one[1] for one in getattr(last, "estimators", None) or ()]
    return all(
        one in ("drop", None) or (not hasattr(one, "steps") and has_fit_parameter(one, "sample_weight"))
        for one in members
    )


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
