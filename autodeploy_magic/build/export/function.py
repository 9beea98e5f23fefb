"""A plain Python function, or any object with a `predict`: it answers as itself, in the native format."""

from __future__ import annotations

import functools
import types
from pathlib import Path
from typing import Any, ClassVar

from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import ExportFailed

__all__ = ["FunctionExporter", "exporter"]


class FunctionExporter:
    """The last to be asked: it takes whatever can be called."""

    name = "function"
    formats = ("native",)
    exact: ClassVar[dict[str, str]] = {}

    def recognises(self, model: Any) -> bool:
        if isinstance(model, type | types.ModuleType):
            return False
        return callable(getattr(model, "predict", None)) or callable(model)

    def check_fitted(self, model: Any, name: str) -> None:
        """A function is always ready; an object that is not says so when it answers the sample."""

    def model_type(self, model: Any) -> str:
        if isinstance(model, functools.partial):
            model = model.func
        return str(getattr(model, "__name__", None) or type(model).__name__)

    def task(self, model: Any) -> str:
        return "classification" if callable(getattr(model, "predict_proba", None)) else "function"

    def methods(self, model: Any) -> dict[str, str]:
        if not callable(getattr(model, "predict", None)):
            return {"predictions": "__call__"}
        found = {"predictions": "predict"}
        if callable(getattr(model, "predict_proba", None)):
            found["probabilities"] = "predict_proba"
        return found

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        return {
            name: model(x) if method == "__call__" else getattr(model, method)(x)
            for name, method in self.methods(model).items()
        }

    def known_values(self, model: Any) -> dict[str, tuple[str, ...]]:
        return {}

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        del path, x, signature
        raise ExportFailed(
            f"{self.model_type(model)} cannot be written as {format}",
            why="it is plain Python, which ONNX cannot hold",
            fix="deploy it with --format native, or auto",
        )


exporter = FunctionExporter()
