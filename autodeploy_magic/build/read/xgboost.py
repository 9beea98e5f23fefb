"""XGBoost's own files: UBJSON and JSON, which are data."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.read.given import Given
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["XGBoostReader", "reader"]


class XGBoostReader:
    """The scikit-learn estimator that it was saved from, where the file says which; else the Booster."""

    title = "an XGBoost model"

    def recognises(self, given: Given) -> bool:
        head = given.head[:HEAD]
        if head[:1] != b"{" or given.is_folder:
            return False
        return b"learner" in head and (head[1:2] == b"L" or b'"learner"' in head)

    def read(self, given: Given) -> Any:
        xgboost = need("xgboost", f"reading {given.name}")
        try:
            booster = xgboost.Booster(model_file=bytearray(given.data()))
        except xgboost.core.XGBoostError as error:
            words = [line for line in str(error).splitlines() if line.strip()]
            raise BadInput(
                f"{given.name} is an XGBoost model that is cut off or damaged",
                why=" ".join(words[:1])[:300],
                fix="fetch or save it again: model.save_model('model.ubj')",
            ) from error
        kind = _estimator(booster, xgboost)
        if kind is None:
            return booster
        model = kind()
        model.load_model(bytearray(given.data()))
        return model


HEAD = 65536
"""How far the word may stand from the beginning."""


def _estimator(booster: Any, xgboost: Any) -> Any:
    """The estimator's class, by what `save_model` of one writes down about it."""
    import json

    said = booster.attr("scikit_learn")
    if said is None:
        return None
    kind = json.loads(said).get("_estimator_type", "")
    ranks = "rank:" in booster.save_config()
    by_kind = {"classifier": "XGBClassifier", "regressor": "XGBRegressor"}
    name = "XGBRanker" if ranks else by_kind.get(kind)
    return getattr(xgboost, name) if name else None


reader = XGBoostReader()
