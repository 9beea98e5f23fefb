"""Transformers models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["TransformersExporter", "exporter"]


class TransformersExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "transformers"

    def recognises(self, model: Any) -> bool:
        return False


exporter = TransformersExporter()
