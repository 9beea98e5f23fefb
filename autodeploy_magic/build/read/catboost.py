"""CatBoost's own files, which are data."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.read.given import Given
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["CatBoostReader", "reader"]


class CatBoostReader:
    """A classifier or a regressor by the loss that it was trained with, else a `CatBoost`."""

    title = "a CatBoost model"

    def recognises(self, given: Given) -> bool:
        return given.head.startswith(b"CBM1")

    def read(self, given: Given) -> Any:
        catboost = need("catboost", f"reading {given.name}")
        try:
            model = catboost.CatBoost().load_model(str(given.path))
        except catboost.CatBoostError as error:
            raise BadInput(
                f"{given.name} is a CatBoost model that is cut off or damaged",
                why=" ".join(str(error).split())[:300],
                fix="fetch or save it again: model.save_model('model.cbm')",
            ) from error
        loss = str((model.get_all_params() or {}).get("loss_function", ""))
        if loss in ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll"):
            return catboost.CatBoostClassifier().load_model(str(given.path))
        if loss.partition(":")[0] in ("RMSE", "MAE", "Quantile", "MAPE", "Poisson", "Huber", "Tweedie", "LogCosh"):
            return catboost.CatBoostRegressor().load_model(str(given.path))
        return model


reader = CatBoostReader()
