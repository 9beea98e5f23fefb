"""Statsmodels models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["StatsmodelsExporter", "exporter"]


class StatsmodelsExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "statsmodels"

    def recognises(self, model: Any) -> bool:
        return False


exporter = StatsmodelsExporter()
