"""What the live object answers, with the person's own code around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autodeploy_magic.build.export import Exporter
from autodeploy_magic.build.request import BuildRequest
from autodeploy_magic.build.sample import Sample
from autodeploy_magic.errors import AutodeployError, BadSample, ExportFailed
from autodeploy_magic.wire import in_library, to_plain

__all__ = ["Answers", "live_answers"]


@dataclass(frozen=True)
class Answers:
    """What the live object says to some rows: as it returns it, and as JSON. `raw` is before postprocess."""

    raw: dict[str, Any]
    final: dict[str, Any]
    plain: dict[str, Any]


def live_answers(request: BuildRequest, exporter: Exporter, rows: Any, sample: Sample) -> Answers:
    """Ask the live object, and the person's code around it. Raises `BadSample` where one of them cannot answer."""
    code = request.code
    rows = in_library(sample.signature, rows)
    fed = _call(sample, "preprocess", code["preprocess"], rows) if "preprocess" in code else rows
    if "predict" in code:
        raw = {"predictions": _call(sample, "predict", code["predict"], request.model, fed)}
    else:
        raw = _call(sample, "the model", exporter.live, request.model, fed)
    final = dict(raw)
    if "postprocess" in code:
        final["predictions"] = _call(sample, "postprocess", code["postprocess"], raw["predictions"])
    try:
        plain = {name: to_plain(value) for name, value in final.items()}
    except TypeError as error:
        raise ExportFailed(
            "the model's answer cannot be written as JSON",
            why=str(error),
            fix="add a postprocess function that returns numbers, text, lists or dicts",
        ) from error
    return Answers(raw, final, plain)


def _call(sample: Sample, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except AutodeployError:
        raise
    except Exception as error:  # the model and the functions are the person's own, and may raise anything
        first = (str(error).splitlines() or [""])[0][:400]
        raise BadSample(
            f"{what} cannot answer the sample ({_shape_words(sample)})",
            why=f"{type(error).__name__}: {first}",
            fix=_hint(sample, what),
        ) from error


def _shape_words(sample: Sample) -> str:
    shape = getattr(sample.container, "shape", None)
    size = f"shape {tuple(shape)}" if shape else f"{sample.rows} rows"
    return f"{sample.signature.container}, {size}"


def _hint(sample: Sample, what: str) -> str:
    if what == "the model" and getattr(sample.container, "ndim", 2) == 1:
        return "one row is a table of one row: sample[None, :] or X_test[:1]; one column is X[:, None]"
    if what == "the model":
        return "give rows like those it was fitted on; if they need preparing first, define preprocess(x) in the cell"
    return f"try it in the notebook: {what}(…) on the same rows"
