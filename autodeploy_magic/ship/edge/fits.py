"""Which versions a device can take, and what to do about the others. Asked before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Column, Version
from autodeploy_magic.errors import InvalidOption, ShipFailed
from autodeploy_magic.formats import format_of
from autodeploy_magic.ship.base import Cargo

__all__ = ["check_fits", "check_fits_browser", "model_file"]

_LARGEST_BYTES = 2**31 - 2**20
"""A file in the ORT format is addressed by 31 bits, and so is what an ONNX file may hold by itself."""

_MOST_ROWS = 1024
"""Of a batch: each answer, of however few rows, takes the memory and the time of so many."""

_NOT_READ = ("datetime64", "timedelta64", "image", "bytes")
"""Beginnings of the dtypes whose values the one file does not read: a graph has no such inputs."""

_IN_BROWSERS = {"float32", "float64", "int64", "int32", "int16", "int8", "uint32", "uint16", "uint8", "bool", "object"}
"""What onnxruntime-web takes and gives as JavaScript's own arrays everywhere; float16 needs a newer browser."""


def model_file(cargo: Cargo) -> Path:
    """The ONNX file of a version that `check_fits` let through."""
    return cargo.model / format_of(cargo.version.format).place


def check_fits(cargo: Cargo) -> None:
    """Raise `ShipFailed` for a version that one file with numpy and onnxruntime cannot answer for."""
    version = cargo.version
    _check_format(version)
    files = [item for item in version.artifacts if item.role == "model"]
    if len(files) != 1 or files[0].size_bytes > _LARGEST_BYTES:
        raise _refused(
            version,
            "its weights lie outside the ONNX file, or are more than 2 GB",
            "ONNX Runtime's own format holds at most 2 GB; ship it as an image: `%deploy containerize`",
        )
    for column in version.signature.columns:
        if column.dtype.startswith(_NOT_READ):
            raise _refused(
                version,
                f"its column {column.name!r} is {_said(column)}, which the one file does not read",
                "deploy it on numbers and texts alone, or ship it as an image: `%deploy containerize`",
            )
    if any(output.streams for output in version.outputs):
        raise _refused(version, "it answers item by item", "ship it as an image: `%deploy containerize`")
    if any(item.role == "code" for item in version.artifacts) and not cargo.options["code"]:
        raise _refused(
            version,
            "Python code of yours stands around it, which travels as a pickle and may need any package",
            "`--set code=yes` ships its source, where that needs numpy alone; or put what it does into the model "
            "(a Pipeline); or ship it as an image: `%deploy containerize`",
        )
    if cargo.options["web"] and any(item.role == "code" for item in version.artifacts):
        raise _refused(version, "a browser runs no Python, and code of yours stands around it", "leave web=yes out")
    rows = cargo.number("batch")
    if not 0 <= rows <= _MOST_ROWS:
        fix = f"use 1 to {_MOST_ROWS}, or 0 for any number"
        raise InvalidOption(f"batch is {rows}", why="it is a number of rows", fix=fix)
    if rows and not all(output.per_row and output.container == "ndarray" for output in version.model_outputs or ()):
        raise _refused(version, "not all its answers are one for each row", "leave batch out")
    if cargo.text("ort_web") and not cargo.options["web"]:
        raise InvalidOption("ort_web is for the page", why="web is no", fix="add web=yes, or leave ort_web out")


def _check_format(version: Version) -> None:
    runtime = format_of(version.format).runtime
    if runtime == "transformers-onnx":
        raise _refused(
            version,
            "it answers texts through a tokenizer, which needs more than numpy",
            "ship it as an image: `%deploy containerize`",
        )
    if runtime != "onnx":
        tried = next((found for found in version.candidates if found.format.startswith("onnx")), None)
        why = f"; as ONNX: {tried.reason}" if tried is not None and not tried.passed and tried.reason else ""
        again = "" if why else "deploy it again with --format onnx, or "  # it was tried, and would fail the same
        raise _refused(
            version,
            f"it is kept as {format_of(version.format).title}, and a device runs ONNX{why}",
            f"{again}ship it as an image: `%deploy containerize`",
        )


def check_fits_browser(cargo: Cargo, signature: dict[str, Any]) -> None:
    """Raise `ShipFailed` for a graph that onnxruntime-web cannot be given rows for, or whose answers it cannot give."""
    version = cargo.version
    for item in [*signature["inputs"], *signature["graph_outputs"]]:
        if item["dtype"] not in _IN_BROWSERS:
            raise _refused(
                version, f"a browser has no {item['dtype']}, and {item['name']!r} is one", "leave web=yes out"
            )
    if not all(output["per_row"] for output in signature["model_outputs"]):
        raise _refused(version, "not all its answers are one for each row", "leave web=yes out")
    texts = {item["name"] for item in signature["inputs"] if item["dtype"] == "object"}
    for column in version.signature.columns:
        given = len(signature["inputs"]) == 1 or column.name in texts
        if texts and given and column.dtype != "str":
            raise _refused(
                version,
                f"its graph takes {column.name!r} as text, and the sample has it as {column.dtype}",
                "leave web=yes out: JavaScript writes numbers as text otherwise than Python",
            )


def _refused(version: Version, why: str, fix: str) -> ShipFailed:
    return ShipFailed(f"v{version.number} of {version.deployment} cannot go to the edge", why=why, fix=fix)


def _said(column: Column) -> str:
    return "a date or a span of time" if column.dtype[-1:] == "]" else f"of {column.dtype}"
