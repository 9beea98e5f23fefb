"""XGBoost: its scikit-learn wrappers, and `xgboost.Booster`, which is asked by a DMatrix made of the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import loaded
from autodeploy_magic.build.export.boosters import BoosterExporter, class_name, plain

__all__ = ["XGBoostExporter", "exporter"]

_TRAINING = frozenset({"_Booster", "callbacks", "eval_metric", "evals_result_", "feature_weights", "random_state"})
"""What a wrapper holds that has no part in an answer, and its trees, which lie beside it."""


class XGBoostExporter(BoosterExporter):
    """XGBoost's classifiers, regressors and rankers, and its Booster."""

    name = "xgboost"
    formats = ("xgboost", "onnx", "native")
    packages = ("xgboost",)

    def recognises(self, model: Any) -> bool:
        kinds = tuple(getattr(loaded("xgboost"), name, ()) for name in ("Booster", "XGBModel"))
        return isinstance(model, kinds)

    def is_native(self, model: Any) -> bool:
        return not hasattr(model, "get_booster")

    def is_fitted(self, model: Any) -> bool:
        if self.is_native(model):
            return _rounds(model) > 0
        return bool(model.__sklearn_is_fitted__())

    def task(self, model: Any) -> str:
        """A Booster answers numbers, the probabilities among them, but where its objective gives classes."""
        if not self.is_native(model):
            return super().task(model)
        return "classification" if _objective(model) in ("multi:softmax", "binary:hinge") else "regression"

    def formats_for(self, model: Any) -> tuple[str, ...]:
        # The runner of pickles gives rows to `predict`, and a Booster's takes a DMatrix.
        return tuple(f for f in self.formats if f != "native" or not self.is_native(model))

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        if self.is_native(model):
            return {"predictions": model.predict(_matrix(model, x))}
        return super().live(model, x)

    def state(self, model: Any) -> dict[str, Any]:
        import xgboost

        name = class_name(model, xgboost)
        return {"class": name, "state": {} if self.is_native(model) else plain(vars(model), without=_TRAINING)}

    def content(self, model: Any) -> bytes:
        booster = model if self.is_native(model) else model.get_booster()
        return bytes(booster.save_raw("ubj"))

    def place(self, folder: Path) -> Path:
        return folder / "model.ubj"

    def onnx(self, model: Any, columns: int) -> Any:
        from autodeploy_magic.build.export.xgboost_onnx import as_onnx

        return as_onnx(model, columns)

    def teach(self) -> None:
        from autodeploy_magic.build.export.xgboost_onnx import teach

        teach()


def _rounds(booster: Any) -> int:
    try:
        return int(booster.num_boosted_rounds())
    except Exception:  # noqa: BLE001  # one that was never configured cannot tell, and has none
        return 0


def _objective(booster: Any) -> str:
    return str(json.loads(booster.save_config())["learner"]["objective"]["name"])


def _matrix(booster: Any, x: Any) -> Any:
    """The rows as a person would give them to the Booster; `serve.runtime.xgboost` makes the same."""
    import xgboost

    if hasattr(x, "columns"):
        return xgboost.DMatrix(x, enable_categorical=True)
    # Names that were given to the DMatrix of the training, beside an array of its own.
    return xgboost.DMatrix(x, feature_names=booster.feature_names, feature_types=booster.feature_types)


exporter = XGBoostExporter()
