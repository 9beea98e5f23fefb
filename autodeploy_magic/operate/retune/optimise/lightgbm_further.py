"""LightGBM goes on: more rounds on new rows after those it has, or the values of its leaves fitted again to them."""

from __future__ import annotations

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

_DECAY = 0.5
"""How much of a leaf's old value stays when it is fitted again."""


class Further(Optimiser):
    """Continued boosting with `lightgbm.train(init_model=…)`, for wrappers, pipelines that end in one, and Boosters."""

    name = "lightgbm_further"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        model = last_step(booster_of(champion, holdings, "lightgbm"))
        booster = _check(model)
        new = (native_rows if model is booster else new_rows)(champion, holdings)
        rounds = more(_used(booster))
        settings = {"since_s": new.since_s}
        return [
            Offer(with_rows(new, f"{rounds} more rounds"), {**settings, "rounds": rounds}, slow=True),
            Offer(with_rows(new, "leaves fitted again"), {**settings, "rounds": 0, "decay": _DECAY}, slow=True),
        ]

    def make(self, champion: Champion, given: Given) -> Made:
        last = last_step(booster_of(champion, given.holdings, "lightgbm"))
        new, left = rows_again(champion, given, targets=0 if hasattr(last, "get_params") else 1)
        last = last_step(new.rows.model)
        booster = _check(last)
        labels = new.rows.codes if new.rows.classifies else new.rows.y
        rounds = int(given.settings["rounds"])
        made = _boosted(booster, new.last_x, labels, rounds, given)
        said = f"{rounds} rounds added" if rounds else f"leaves of {_used(booster)} rounds fitted again"
        words = "; ".join(word for word in (f"{said} on {new.rows.count} rows", left) if word)
        if last is booster:
            return Rebuilt(made, note=words)
        vars(last).update(_Booster=made, _best_iteration=0)
        if rounds:
            last.set_params(n_estimators=int(made.current_iteration()))
        return Rebuilt(new.rows.model, note=words)


def _boosted(booster: Any, x: Any, y: Any, rounds: int, given: Given) -> Any:
    import lightgbm

    told = {**booster.params, "num_threads": given.threads, "seed": given.seed, "deterministic": True, "verbosity": -1}
    for name in ("num_iterations", "num_boost_round", "n_estimators", "early_stopping_round"):
        told.pop(name, None)
    categorical = told.pop("categorical_feature", None) or told.pop("categorical_column", None)
    start = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=_used(booster)))
    if not rounds:
        made = start.refit(x, y, decay_rate=float(given.settings["decay"]))
    else:
        by_place = isinstance(categorical, list) and not hasattr(x, "columns")
        rows = lightgbm.Dataset(
            x, label=y, categorical_feature=categorical if by_place else "auto", params={"verbosity": -1}
        )
        made = lightgbm.train(told, rows, num_boost_round=rounds, init_model=start)
        made = lightgbm.Booster(model_str=made.model_to_string(num_iteration=-1))  # without the rows
    made.pandas_categorical = booster.pandas_categorical
    return made


def _check(model: Any) -> Any:
    """Its booster. Raises `NotApplicable` for what cannot go on."""
    booster = getattr(model, "booster_", model)
    objective = str(booster.params.get("objective", ""))
    if callable(getattr(model, "objective", None)) or objective in ("custom", "none", "lambdarank", "rank_xendcg"):
        raise NotApplicable("its objective is a function of the person's own, or ranks groups of rows")
    if booster.params.get("boosting") == "rf":
        raise NotApplicable("a random forest of LightGBM is grown at once, without rounds")
    return booster


def _used(booster: Any) -> int:
    """How many rounds it answers with: up to the best, where it stopped early."""
    return int(booster.best_iteration) if booster.best_iteration > 0 else int(booster.current_iteration())
