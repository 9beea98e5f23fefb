"""The model in the formats it can have. One file a framework, named in `registry.EXPORTERS`.

An exporter knows its framework's objects, answers as the live object does, and writes the formats other than the
pickle, which is the same for all. It imports its framework only once it is given one of its objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from autodeploy_magic.contracts import Signature
from autodeploy_magic.registry import load, table

__all__ = ["Exporter", "exporter_of"]


class Exporter(Protocol):
    """What a framework's file gives as `exporter`.

    `formats` are the model's formats in the order they are tried; the first holds it as it is, and decides the digest.
    `exact` names a slower, more exact form of a format, tried where that one differs from the live object.
    """

    name: str
    formats: tuple[str, ...]
    exact: ClassVar[dict[str, str]]

    def recognises(self, model: Any) -> bool:
        """Whether `model` is of this framework, asked without importing it."""

    def check_fitted(self, model: Any, name: str) -> None:
        """Raise `UnfittedModel` (or another `BadInput`) where `model` cannot answer."""

    def model_type(self, model: Any) -> str:
        """What people call it: a class, or the steps of a pipeline. Equal for models that differ in weights alone."""

    def task(self, model: Any) -> str:
        """ "classification", "regression", "clustering", "outliers", "transform" or "function"."""

    def methods(self, model: Any) -> dict[str, str]:
        """Output name → the live object's method that gives it; "predictions" first."""

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        """The live object's outputs for `x`."""

    def known_values(self, model: Any) -> dict[str, tuple[str, ...]]:
        """The only texts that `model` answers, for each column of a table where it refuses all others."""

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        """Write `model` as `format` (never "native") to `path`; `x` is what it is fed. Raises `ExportFailed`."""


def exporter_of(model: Any) -> Exporter | None:
    """The first exporter that recognises `model`."""
    for reference in table("exporters").values():
        exporter: Exporter = load(reference)
        if exporter.recognises(model):
            return exporter
    return None
