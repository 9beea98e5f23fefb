"""A plain Python function, or any object with a `predict`: it answers as itself, in the native format."""

from __future__ import annotations

import functools
import types
from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["FunctionExporter", "exporter"]


class FunctionExporter(Exporter):
    """The last to be asked: it takes whatever can be called."""

    name = "function"

    def recognises(self, model: Any) -> bool:
        if isinstance(model, type | types.ModuleType):
            return False
        return callable(getattr(model, "predict", None)) or callable(model)

    def model_type(self, model: Any) -> str:
        if isinstance(model, functools.partial):
            model = model.func
        return str(getattr(model, "__name__", None) or type(model).__name__)


exporter = FunctionExporter()
