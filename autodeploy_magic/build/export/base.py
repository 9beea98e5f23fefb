"""What a framework has to say about its models, with the answers that hold for most of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import ExportFailed
from autodeploy_magic.formats import format_of
from autodeploy_magic.wire.answers import by_target

__all__ = ["Exporter", "first_words", "loaded"]


class Exporter:
    """One framework. A file gives an instance of it as `exporter`, and its entry in `registry.EXPORTERS` names that.

    Only `name` and `recognises` must be given: a model then answers by `predict` (and `predict_proba`), or by being
    called, and is kept as a pickle. Each further format is one more word in `formats`, and what `write` makes of it.

    `formats` are in the order they are tried. "native", the pickle of the live object, is made for all alike, and comes
    first where it is there; else the first is one of the framework's own. `exact` names a slower, more exact form of a
    format, tried where that one differs from the live object. `fallback` names the formats that are tried only where
    none of the others could be written or passed. `packages` are top-level modules that the formats of its own need in
    a worker, whatever the model: they become pins.
    """

    name: ClassVar[str]
    formats: ClassVar[tuple[str, ...]] = ("native",)
    exact: ClassVar[Mapping[str, str]] = {}
    fallback: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()

    def recognises(self, model: Any) -> bool:
        """Whether `model` is of this framework, asked without importing it."""
        raise NotImplementedError

    def check_fitted(self, model: Any, name: str) -> None:
        """Raise `UnfittedModel` (or another `BadInput`) where `model` cannot answer; `name` is what it is called."""

    def model_type(self, model: Any) -> str:
        """What people call it: a class, or the steps of a pipeline. Equal for models that differ in weights alone."""
        return type(model).__name__

    def task(self, model: Any) -> str:
        """ "classification", "regression", "clustering", "outliers", "transform" or "function"."""
        return "classification" if callable(getattr(model, "predict_proba", None)) else "function"

    def methods(self, model: Any) -> dict[str, str]:
        """Output name → the live object's method that gives it; "predictions" first."""
        if not callable(getattr(model, "predict", None)):
            return {"predictions": "__call__"}
        found = {"predictions": "predict"}
        if callable(getattr(model, "predict_proba", None)):
            found["probabilities"] = "predict_proba"
        return found

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        """The live object's outputs for `x`, which is in the container of the sample, or what preprocess returned."""
        found = {
            name: model(x) if method == "__call__" else getattr(model, method)(x)
            for name, method in self.methods(model).items()
        }
        return {name: by_target(value) if name == "probabilities" else value for name, value in found.items()}

    def ready(self, model: Any) -> AbstractContextManager[None]:
        """What `live` does before and after each answer, done once for several: they are timed without it."""
        return nullcontext()

    def known_values(self, model: Any) -> dict[str, tuple[str, ...]]:
        """The only texts that `model` answers, for each column of a table where it refuses all others."""
        return {}

    def takes(self, model: Any, signature: Signature) -> Signature:
        """The sample's signature as the model reads it: one that computes in float32 takes float32."""
        return signature

    def parts(self, model: Any) -> list[Any]:
        """What `model` is made of, where those are models too: a cell that assigns all of them means the whole."""
        return []

    def formats_for(self, model: Any) -> tuple[str, ...]:
        """Those of `formats` that this very model can have."""
        return self.formats

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        """Write `model` as `format` (never "native") to `path`, a file or a folder to be made; `x` is what it is fed.

        The model is not changed by it. Raises `ExportFailed`, whose `why` ends up in the table of candidates.
        """
        raise ExportFailed(
            f"{self.model_type(model)} cannot be written as {format}",
            why=f"{self.name} models are not written as {format_of(format).title}",
            fix="deploy it with --format native, or auto",
        )

    def fingerprint(self, model: Any) -> str:
        """A digest of all that decides its answers, equal for equal models in every kernel.

        "" where that is the digest of its pickle, or else of the first of its formats as it is written.
        """
        return ""

    def modules(self, model: Any) -> frozenset[str]:
        """Full names of the modules that the model's own code lives in, where it is not pickled: pins, or copies."""
        return frozenset()

    def opaque(self, model: Any, format: str) -> str:
        """Why loading this model in `format` may run code that nobody has read; "" where it cannot."""
        known = format_of(format)
        return known.why if known.opaque else ""


def first_words(error: BaseException, most: int = 200) -> str:
    """What another library's exception says, to the end of its first sentence, for a candidate's reason."""
    words = " ".join(str(error).split()).partition(". ")[0][:most]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def loaded(module: str) -> Any:
    """The module where somebody has imported it, else None: how `recognises` looks without importing."""
    return sys.modules.get(module)
