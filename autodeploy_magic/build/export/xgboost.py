"""XGBoost models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["XGBoostExporter", "exporter"]


class XGBoostExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "xgboost"

    def recognises(self, model: Any) -> bool:
        return False


exporter = XGBoostExporter()
