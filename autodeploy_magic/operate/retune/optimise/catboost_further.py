"""CatBoost goes on: more trees on new rows after those it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Offer, Optimiser, Rebuilt
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.optimise.sklearn_new import (
    all_classes,
    booster_of,
    more,
    new_rows,
    rows_again,
    with_rows,
)
from autodeploy_magic.operate.retune.optimise.sklearn_parts import last_step

__all__ = ["Further"]

_OF_A_TRAINING = ("use_best_model", "early_stopping_rounds", "od_wait", "od_type", "od_pval", "save_snapshot")
"""Parameters that ask for rows to stop by, or for files."""


class Further(Optimiser):
    """Continued boosting with `fit(init_model=…)`, for its models and pipelines that end in one."""

    name = "catboost_further"
    family = "better"

    def offers(self, champion: Champion, holdings: Holdings) -> Sequence[Offer]:
        _check(last_step(booster_of(champion, holdings, "catboost")))
        new = new_rows(champion, holdings)
        absent = all_classes(new)
        if absent:
            raise NotApplicable(f"it cannot be trained further: {absent}")
        trees = more(int(last_step(new.rows.model).tree_count_))
        settings = {"since_s": new.since_s, "trees": trees}
        return [Offer(with_rows(new, f"{trees} more trees"), settings, slow=True)]

    def make(self, champion: Champion, given: Given) -> Made:
        booster_of(champion, given.holdings, "catboost")
        new, left = rows_again(champion, given)
        last = last_step(new.rows.model)
        _check(last)
        absent = all_classes(new)
        if absent:
            raise NotApplicable(f"it cannot be trained further: {absent}")
        trees = int(given.settings["trees"])
        told = {name: value for name, value in last.get_params().items() if name not in _OF_A_TRAINING}
        for name in ("n_estimators", "num_boost_round", "num_trees"):
            told.pop(name, None)
        told |= {"iterations": trees, "thread_count": given.threads, "allow_writing_files": False}
        if not {"random_seed", "random_state"} & set(told):
            told["random_seed"] = given.seed
        if not {"verbose", "silent", "logging_level", "verbose_eval"} & set(told):
            told["verbose"] = False
        made = type(last)(**told)
        categorical = last.get_cat_feature_indices()
        options = {"cat_features": categorical} if categorical and "cat_features" not in told else {}
        made.fit(new.last_x, new.rows.y, init_model=last, **options)
        said = f"{int(made.tree_count_) - int(last.tree_count_)} trees added on {new.rows.count} rows"
        words = "; ".join(word for word in (said, left) if word)
        model: Any = made
        if last is not new.rows.model:
            model = new.rows.model
            model.steps[-1] = (model.steps[-1][0], made)
        return Rebuilt(model, note=words)


def _check(model: Any) -> None:
    """Raise `NotApplicable` for what cannot go on."""
    loss = model.get_params().get("loss_function")
    if loss is not None and not isinstance(loss, str):
        raise NotApplicable("its loss function is a function of the person's own")
    if model.get_text_feature_indices() or model.get_embedding_feature_indices():
        raise NotApplicable("CatBoost does not train further where columns are texts or embeddings")
