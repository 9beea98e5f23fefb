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
from autodeploy_magic.wire.streams import is_async_stream, is_stream, postprocessed, taken

__all__ = ["Answers", "live_answers"]

STREAM_ITEMS = 10_000
STREAM_S = 30.0
"""How many items a predict that yields may give for the sample, and for how long: one that never ends is cut."""


@dataclass(frozen=True)
class Answers:
    """What the live object says to some rows: as it returns it, and as JSON. `raw` is before postprocess.

    `streams` are the outputs whose items came one after the other; they stand here as lists.
    """

    raw: dict[str, Any]
    final: dict[str, Any]
    plain: dict[str, Any]
    streams: frozenset[str] = frozenset()


def live_answers(request: BuildRequest, exporter: Exporter, rows: Any, sample: Sample) -> Answers:
    """Ask the live object, and the person's code around it. Raises `BadSample` where one of them cannot answer."""
    code = request.code
    rows = in_library(sample.signature, rows)
    fed = _call(sample, "preprocess", code["preprocess"], rows) if "preprocess" in code else rows
    if "predict" in code:
        raw = {"predictions": _call(sample, "predict", code["predict"], request.model, fed)}
    else:
        raw = _call(sample, "the model", exporter.live, request.model, fed)
    what = "predict" if "predict" in code else "the model"
    raw, streams = _drained(sample, what, raw)
    final = dict(raw)
    if "postprocess" in code:
        given = iter(raw["predictions"]) if "predictions" in streams else raw["predictions"]
        final["predictions"] = _call(sample, "postprocess", postprocessed, code["postprocess"], given)
        final, others = _drained(sample, "postprocess", final)
        streams |= others
    try:
        plain = {name: to_plain(value) for name, value in final.items()}
    except TypeError as error:
        raise ExportFailed(
            "the model's answer cannot be written as JSON",
            why=str(error),
            fix="add a postprocess function that returns numbers, text, lists or dicts",
        ) from error
    return Answers(raw, final, plain, streams)


def _drained(sample: Sample, what: str, answers: dict[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The answers with a list in the place of each generator, and which these were."""
    found = {name: _call(sample, what, _whole, what, value) for name, value in answers.items()}
    return found, frozenset(name for name, value in answers.items() if is_stream(value))


def _whole(what: str, value: Any) -> Any:
    if is_async_stream(value):
        raise BadSample(
            f"{what} is an async generator",
            why="the model is run by threads, which await nothing",
            fix="write it as a plain generator: def instead of async def",
        )
    if not is_stream(value):
        return value
    items, whole = taken(value, most=STREAM_ITEMS, within_s=STREAM_S)
    if not whole:
        raise BadSample(
            f"{what} had not ended after {len(items)} items of its answer to the sample",
            why=f"a stream is verified to its end: at most {STREAM_ITEMS} items, in at most {STREAM_S:g} s",
            fix="let it end (return), or give a smaller sample: --sample X_test[:2]",
        )
    return items


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
