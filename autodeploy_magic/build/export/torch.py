"""Torch models."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.base import Exporter

__all__ = ["TorchExporter", "exporter"]


class TorchExporter(Exporter):
    """Not written yet: recognises nothing."""

    name = "torch"

    def recognises(self, model: Any) -> bool:
        return False


exporter = TorchExporter()
