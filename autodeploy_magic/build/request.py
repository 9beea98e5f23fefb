"""What the person asks for, and whether that can be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autodeploy_magic import settings
from autodeploy_magic.build.export import Exporter, exporter_of
from autodeploy_magic.build.sample import Sample
from autodeploy_magic.errors import InvalidOption, NoModel
from autodeploy_magic.formats import format_of

__all__ = ["CODE", "RETRAIN", "BuildRequest", "check_labels", "exporter_for", "formats_of"]

CODE = ("preprocess", "predict", "postprocess")
"""The functions of the person's own that travel with a model."""

RETRAIN = "retrain"
"""The one that is kept beside it, for re-tuning: `retrain(model, X, y)`."""


@dataclass(frozen=True)
class BuildRequest:
    """What the person asked for. `model` is the live object, or the path of an .onnx file.

    `source` says where it was read from, where it was no object of the kernel; `allowed_by` which choice of the
    person's lets a version be made whose loading may run code.
    """

    name: str
    model: Any
    sample: Any
    labels: Any = None
    code: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    format: Literal["auto", "onnx", "native"] = "auto"
    note: str = ""
    source: str = ""
    allowed_by: str = ""
    namespace: Mapping[str, Any] = field(default_factory=dict)


def exporter_for(request: BuildRequest) -> Exporter:
    """The exporter of a model that can answer. Raises `NoModel`, `UnfittedModel` or another `BadInput`."""
    exporter = exporter_of(request.model)
    if exporter is None:
        kind = type(request.model).__name__
        raise NoModel(
            f"a {kind} is not a model" if request.model is not None else "there is no model",
            why="it has no predict method and cannot be called",
            fix="give a fitted estimator, a function, or the path of an .onnx file",
        )
    named = [key for key, value in request.namespace.items() if value is request.model and not key.startswith("_")]
    exporter.check_fitted(request.model, named[-1] if named else "the model")
    return exporter


def formats_of(request: BuildRequest, exporter: Exporter) -> tuple[str, ...]:
    """The formats to try. Raises `InvalidOption` for one that the model, or the code around it, rules out."""
    unknown = [key for key in request.code if key not in (*CODE, RETRAIN)]
    if unknown:
        raise InvalidOption(
            f"there is no place for a function {unknown[0]!r}", fix=f"the places are: {', '.join((*CODE, RETRAIN))}"
        )
    if request.format not in ("auto", "onnx", "native"):
        raise InvalidOption(f"{request.format!r} is not a format", fix="use auto, onnx or native")
    formats = exporter.formats_for(request.model)
    live = tuple(item for item in formats if format_of(item).live)
    if "predict" in request.code:
        if request.format == "onnx" or not live:
            raise InvalidOption(
                "a predict function and ONNX do not go together",
                why="predict(model, x) is Python, which runs around the live object",
                fix="use --format native with a Python model, or leave predict out",
            )
        return live
    others = tuple(item for item in formats if item not in live)
    found = {"auto": formats, "native": live, "onnx": others}[request.format]
    if not found:
        raise InvalidOption(
            f"a {exporter.model_type(request.model)} has no {request.format} format",
            why=f"its formats are: {', '.join(formats)}",
            fix="use --format auto",
        )
    return found if settings.get("allow_pickle") else _green(request, exporter, found)


def _green(request: BuildRequest, exporter: Exporter, formats: tuple[str, ...]) -> tuple[str, ...]:
    """Those formats that run no code when they are loaded. Raises `InvalidOption` where there is none."""
    around = [name for name in request.code if name in CODE]
    if around:
        raise InvalidOption(
            f"the version would be amber: {', '.join(around)} of this notebook would travel with it",
            why="the setting allow_pickle is off: no version is made whose loading runs Python code",
            fix="serve the model without them, or set allow_pickle",
        )
    reasons = {item: exporter.opaque(request.model, item) for item in formats}
    green = tuple(item for item in formats if not reasons[item])
    if not green:
        held = "; ".join(f"{item}: {why}" for item, why in reasons.items())
        raise InvalidOption(
            f"every version of this {exporter.model_type(request.model)} would be amber",
            why=f"the setting allow_pickle is off, and it can be kept in no form that is data ({held})",
            fix="use a model that ONNX or its library's own file can hold, or set allow_pickle",
        )
    return green


def check_labels(request: BuildRequest, sample: Sample) -> None:
    """Raise `InvalidOption` where there are labels, and not one for each row."""
    if request.labels is None:
        return
    count = len(request.labels) if hasattr(request.labels, "__len__") else None
    if count != sample.rows:
        raise InvalidOption(
            f"the labels do not match the sample: {count} labels, {sample.rows} rows",
            fix="give one label for each row of the sample",
        )
