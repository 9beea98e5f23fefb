"""XGBoost goes on: more rounds on new rows after those it has, or the leaves of its trees refreshed by them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_new import (
    booster_of,
    more,
    native_rows,
    new_rows,
    rows_again,
    with_rows,
)
from autodeploy_magic.operate.retune.optimise.sklearn_parts import last_step

__all__ = ["Further"]

_RATE = 0.1
"""The learning rate where the model does not tell: XGBoost's own file does not keep what a Booster was trained with."""


class Further(Optimiser):
    """Continued boosting with `xgboost.train(xgb_model=…)`, for wrappers, pipelines that end in one, and Boosters."""

    name = "xgboost_further"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        model = last_step(booster_of(champion, holdings, "xgboost"))
        booster = _check(model)
        new = (native_rows if model is booster else new_rows)(champion, holdings)
        rounds = more(_used(booster))
        settings = {"since_s": new.since_s}
        offers = [Offer(with_rows(new, f"{rounds} more rounds"), {**settings, "rounds": rounds}, slow=True)]
        if _kind(booster) == "gbtree":
            offers.append(Offer(with_rows(new, "leaves refreshed"), {**settings, "rounds": 0}, slow=True))
        return offers

    def make(self, champion: Champion, given: Given) -> Made:
        last = last_step(booster_of(champion, given.holdings, "xgboost"))
        new, left = rows_again(champion, given, targets=0 if hasattr(last, "get_params") else 1)
        last = last_step(new.rows.model)
        booster = _check(last)
        labels = new.rows.codes if new.rows.classifies else new.rows.y
        rounds = int(given.settings["rounds"])
        made = _boosted(last, booster, new.last_x, labels, rounds, given)
        said = f"{rounds} rounds added" if rounds else f"leaves of {_used(booster)} rounds refreshed"
        words = "; ".join(word for word in (f"{said} on {new.rows.count} rows", left) if word)
        if last is booster:
            return Rebuilt(made, note=words)
        vars(last).update(_Booster=made)
        if rounds and getattr(last, "n_estimators", None):
            last.n_estimators = int(made.num_boosted_rounds())
        return Rebuilt(new.rows.model, note=words)


def _boosted(last: Any, booster: Any, x: Any, y: Any, rounds: int, given: Given) -> Any:
    import xgboost

    names: dict[str, Any] = {}
    if not hasattr(x, "columns"):
        names = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    absent = getattr(last, "missing", None)
    rows = xgboost.DMatrix(x, label=y, enable_categorical=True, missing=absent, nthread=given.threads, **names)
    used = _used(booster)
    start = booster[:used]  # rounds after the best are not answered with, nor boosted on
    told = last.get_xgb_params() if hasattr(last, "get_xgb_params") else {"learning_rate": _RATE}
    told = {key: value for key, value in told.items() if value is not None and key not in ("missing", "n_jobs")}
    told |= {"nthread": given.threads, "seed": given.seed, "verbosity": 0, **_classes(booster)}
    if not rounds:
        told |= {"process_type": "update", "updater": "refresh", "refresh_leaf": True}
        told.pop("tree_method", None)
    made = xgboost.train(told, rows, num_boost_round=rounds or used, xgb_model=start)
    made.set_attr(best_iteration=None, best_score=None)  # of the training before: the new rounds count as well
    return made


def _check(model: Any) -> Any:
    """Its booster. Raises `NotApplicable` for what cannot go on."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if "RF" in type(model).__name__:
        raise NotApplicable("a random forest of XGBoost is grown at once, without rounds")
    if callable(getattr(model, "objective", None)) or str(_learner(booster)["objective"]["name"]).startswith("rank:"):
        raise NotApplicable("its objective is a function of the person's own, or ranks groups of rows")
    return booster


def _learner(booster: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(booster.save_config())["learner"]
    return found


def _kind(booster: Any) -> str:
    return str(_learner(booster)["gradient_booster"]["name"])


def _classes(booster: Any) -> dict[str, Any]:
    """Objective and number of classes, which a file keeps and `train` asks for."""
    learner = _learner(booster)
    count = int(learner["learner_model_param"]["num_class"])
    return {"objective": learner["objective"]["name"], **({"num_class": count} if count > 1 else {})}


def _used(booster: Any) -> int:
    """How many rounds it answers with: up to the best, where it stopped early."""
    best = booster.attr("best_iteration")
    return int(best) + 1 if best is not None else int(booster.num_boosted_rounds())
