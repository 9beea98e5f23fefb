"""LightGBM models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["LightGBMExporter", "exporter"]


class LightGBMExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "lightgbm"

    def recognises(self, model: Any) -> bool:
        return False


exporter = LightGBMExporter()
