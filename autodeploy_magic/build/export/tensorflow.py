"""TensorFlow models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["TensorFlowExporter", "exporter"]


class TensorFlowExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "tensorflow"

    def recognises(self, model: Any) -> bool:
        return False


exporter = TensorFlowExporter()
