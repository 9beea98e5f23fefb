"""CatBoost models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["CatBoostExporter", "exporter"]


class CatBoostExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "catboost"

    def recognises(self, model: Any) -> bool:
        return False


exporter = CatBoostExporter()
