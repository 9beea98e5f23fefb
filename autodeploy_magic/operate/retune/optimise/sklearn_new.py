"""What is trained further, and on which rows: those that are new to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_drift import drift_of
from autodeploy_magic.operate.retune.optimise.sklearn_material import (
    LABELS_HINT,
    Material,
    check_labelled,
    live_of,
    material,
)
from autodeploy_magic.operate.retune.optimise.sklearn_parts import last_step, library_of

__all__ = ["New", "all_classes", "booster_of", "fed_last", "more", "native_rows", "new_rows", "rows_again", "with_rows"]

FEWEST = 30
"""Rows that are worth training further with."""


@dataclass(frozen=True)
class New:
    """Rows to train further with; `since_s` is when the first was asked (0.0: all), `words` say which they are."""

    rows: Material
    since_s: float
    words: str

    @property
    def last_x(self) -> Any:
        """What the last step of a pipeline is fed."""
        return fed_last(self.rows.model, self.rows.x)


def new_rows(champion: Champion, holdings: Holdings) -> New:
    """Those since the errors rose; else those of the traffic; else all. Raises `NotApplicable` for too few.

    Rows that lack a class which others have are not taken: trained on them alone, a model forgets it.
    """
    whole = material(champion, holdings.training, holdings.task)
    _check_enough(whole)
    drift = drift_of(whole)
    kinds = [(drift.found.at_s, f"since its errors rose ({drift.words})")] if drift.found is not None else []
    for since, words in (*kinds, (drift.traffic_s, "of the traffic" if drift.traffic_s else "")):
        found = whole.since(since)
        if found.count >= FEWEST and (not whole.classifies or set(found.codes) == set(whole.codes)):
            return New(found, since, words)
    return New(whole, 0.0, "")


def rows_again(champion: Champion, given: Given, *, targets: int = 0) -> tuple[New, str]:
    """The rows that an offer was made for, with a fresh model; and in words what was left out of all rows."""
    whole = material(champion, given.holdings.training, given.holdings.task, targets=targets)
    since = float(given.settings.get("since_s", 0.0))
    return New(whole.since(since), since, ""), whole.mapped.note


def booster_of(champion: Champion, holdings: Holdings, library: str) -> Any:
    """The live object, which is a model of `library` or a pipeline that ends in one. Raises `NotApplicable`."""
    if champion.framework not in (library, "sklearn"):
        raise NotApplicable(f"it is a model of {champion.framework}, not of {library}")
    mark = {"xgboost": "XGB", "lightgbm": "LGBM", "catboost": "CatBoost"}[library]
    if champion.framework == "sklearn" and mark not in champion.version.model_type:
        raise NotApplicable(f"it has no model of {library} at its end")
    check_labelled(champion, holdings.training, holdings.task, frameworks=(library, "sklearn"))
    model = live_of(champion)
    if library_of(last_step(model)) != library:
        raise NotApplicable(f"it has no model of {library} at its end")
    return model


def native_rows(champion: Champion, holdings: Holdings) -> New:
    """Rows for a library's own object, which is not asked by arrays: those of the traffic, else all."""
    whole = material(champion, holdings.training, holdings.task, targets=1)
    _check_enough(whole)
    aged = whole.at_s[whole.at_s > 0]
    since = float(aged[0]) if len(aged) >= FEWEST else 0.0
    return New(whole.since(since), since, "of the traffic" if since else "")


def _check_enough(whole: Material) -> None:
    if whole.count < FEWEST:
        lacking = FEWEST - whole.count
        raise NotApplicable(
            f"{lacking} more labelled rows are needed to train further ({whole.count} of {FEWEST})", fix=LABELS_HINT
        )


def fed_last(model: Any, x: Any) -> Any:
    """What the last step of a pipeline is fed; of any other model `x` itself."""
    return model[:-1].transform(x) if len(getattr(model, "steps", ())) > 1 else x


def more(count: int) -> int:
    """How many trees are added to `count`: a fifth as many, at least ten."""
    return max(10, round(count / 5))


def with_rows(new: New, what: str) -> str:
    """The title of an offer: "20 more trees on 812 rows of the traffic"."""
    return f"{what} on {new.rows.count} rows {new.words}".strip()


def all_classes(new: New) -> str:
    """Which class of the model's has no row, in words; "" where each has one, or there are no classes."""
    import numpy as np

    if not new.rows.classifies:
        return ""
    counts = np.bincount(new.rows.codes, minlength=len(new.rows.mapped.classes))
    absent = [repr(name) for name, count in zip(new.rows.mapped.classes, counts, strict=True) if not count]
    return f"no row has the class {absent[0]}, which it would forget" if absent else ""
