"""Keras models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["KerasExporter", "exporter"]


class KerasExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "keras"

    def recognises(self, model: Any) -> bool:
        return False


exporter = KerasExporter()
