"""LightGBM: its scikit-learn wrappers, and `lightgbm.Booster`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import loaded
from autodeploy_magic.build.export.boosters import BoosterExporter, NotPlain, class_name, plain

__all__ = ["LightGBMExporter", "exporter"]

_TRAINING = frozenset(
    {
        "_Booster",
        "_best_score",
        "_class_map",
        "_class_weight",
        "_classes",
        "_evals_result",
        "_le",
        "class_weight",
        "random_state",
    }
)
"""What a wrapper holds that has no part in an answer, or is told otherwise: its trees, and its classes."""


class LightGBMExporter(BoosterExporter):
    """LightGBM's classifiers, regressors and rankers, and its Booster."""

    name = "lightgbm"
    formats = ("lightgbm", "onnx", "native")
    packages = ("lightgbm",)

    def recognises(self, model: Any) -> bool:
        kinds = tuple(getattr(loaded("lightgbm"), name, ()) for name in ("Booster", "LGBMModel"))
        return isinstance(model, kinds)

    def is_native(self, model: Any) -> bool:
        return not hasattr(model, "get_params")

    def is_fitted(self, model: Any) -> bool:
        return bool(model.num_trees() if self.is_native(model) else model.__sklearn_is_fitted__())

    def state(self, model: Any) -> dict[str, Any]:
        import lightgbm

        name = class_name(model, lightgbm)
        if self.is_native(model):
            return {"class": name, "best_iteration": model.best_iteration}
        known = {"class": name, "best_iteration": model.booster_.best_iteration}
        known["state"] = plain(vars(model), without=_TRAINING)
        classes = getattr(model, "_classes", None)
        if classes is not None:
            labels = classes.tolist()
            if not all(isinstance(label, bool | int | float | str) for label in labels):
                raise NotPlain("its labels are neither text nor numbers")
            known["classes"] = {"dtype": str(classes.dtype), "values": labels}
        return known

    def content(self, model: Any) -> bytes:
        booster = model if self.is_native(model) else model.booster_
        text: str = booster.model_to_string(num_iteration=-1)  # all trees; the best iteration is told beside it
        return text.encode()

    def place(self, folder: Path) -> Path:
        return folder / "model.txt"

    def onnx(self, model: Any, columns: int) -> Any:
        from autodeploy_magic.build.export.lightgbm_onnx import as_onnx

        return as_onnx(model, columns)

    def teach(self) -> None:
        from autodeploy_magic.build.export.lightgbm_onnx import teach

        teach()


exporter = LightGBMExporter()
