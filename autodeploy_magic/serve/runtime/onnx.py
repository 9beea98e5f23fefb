"""ONNX through onnxruntime."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Output, Version
from autodeploy_magic.errors import InvalidInputs, ModelFailed, StartFailed
from autodeploy_magic.formats import ONNX_DTYPES
from autodeploy_magic.serve.lane.service_time import INLINE_S, recorded
from autodeploy_magic.serve.runtime.providers import fell_back, session
from autodeploy_magic.wire import Batch

__all__ = ["OnnxRunner"]

log = logging.getLogger(__name__)

Array = NDArray[Any]

_TOO_LARGE = {
    info.bits // 8: (2 - 2.0 ** -(info.nmant + 1)) * 2.0 ** (info.maxexp - 1)
    for info in (np.finfo(np.float16), np.finfo(np.float32), np.finfo(np.float64))
}
"""Bytes of a float → from where on a number becomes infinite; what is below is rounded to the largest."""
MISSING_TEXT = ""
"""What a missing text becomes: ONNX strings have no null."""

RARE_ROWS = 1024
"""More than requests that are answered together have by default."""


class OnnxRunner:
    """An onnxruntime session that answers as the live object does.

    Session outputs stand in the order of the version's model outputs. One session input takes all columns of a table
    side by side; several take the columns of their names. `stand_in` says why the CPU runs it in another's place.
    """

    needs_container = False
    together = True

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        self._path, self._threads = path, _useful_threads(version, threads)
        self._session, self.stand_in = session(path, version.provider, self._threads)
        if self.stand_in:
            log.warning("the CPU runs the model: %s", self.stand_in)
        import onnxruntime  # set up by now

        # The arena makes runs of many rows up to 1.8 times quicker and keeps what the largest needed. What a rare one
        # took is given back after it.
        self._giving_back = onnxruntime.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        unknown = [item.type for item in self._session.get_inputs() if item.type not in ONNX_DTYPES]
        if unknown:
            raise StartFailed(f"the model has an input of type {unknown[0]}", fix="deploy with --format native")
        self._inputs = [
            (item.name, np.dtype(ONNX_DTYPES[item.type]), len(item.shape or [])) for item in self._session.get_inputs()
        ]
        floats = [dtype for _, dtype, _ in self._inputs if dtype.kind == "f"]
        self.precision = min(floats, key=lambda dtype: dtype.itemsize).name if floats else "float64"
        given = [item.name for item in self._session.get_outputs()]
        outputs = version.model_outputs or version.outputs
        self._answers = {output.name: _Live(output, name) for output, name in zip(outputs, given, strict=False)}
        self._wanted: dict[tuple[str, ...], tuple[list[_Live], list[str]]] = {}

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer `x`, a `Batch` or what a preprocess returned, in the live object's dtypes."""
        feeds, rows = self.feeds(x)
        wanted = tuple(names)
        if wanted not in self._wanted:
            answers = [self._answers[name] for name in wanted]
            self._wanted[wanted] = answers, [answer.given for answer in answers]
        answers, given = self._wanted[wanted]
        try:
            found = self._session.run(given, feeds, self._giving_back if rows > RARE_ROWS else None)
        except Exception as error:
            if not fell_back(self._session, error):
                raise
            log.warning("the model's device failed, the CPU runs it from here on: %s", error)
            self._session, _ = session(self._path, "", self._threads)
            found = self._session.run(given, feeds)
        return {answer.name: answer.restore(value, rows) for answer, value in zip(answers, found, strict=True)}

    def feeds(self, x: Any) -> tuple[dict[str, Array], int]:
        """What the session is fed for `x`, and how many rows that is."""
        if isinstance(x, Batch) and x.matrix is not None and len(self._inputs) == 1:
            name, dtype, rank = self._inputs[0]
            return {name: _typed(x.matrix, dtype, rank, x.largest)}, x.rows
        columns, matrix, rows = _columns(x)
        known = x.largest if isinstance(x, Batch) else None
        if len(self._inputs) == 1:
            name, dtype, rank = self._inputs[0]
            if matrix is None:
                parts = list(columns.values())
                matrix = parts[0] if len(parts) == 1 else np.column_stack(parts)
            return {name: _typed(matrix, dtype, rank, known)}, rows
        try:
            return {name: _typed(columns[name], dtype, rank, known) for name, dtype, rank in self._inputs}, rows
        except KeyError as error:
            raise ModelFailed(f"the model's input {error} is not among the columns") from error


def _useful_threads(version: Version, threads: int | None) -> int:
    """One where a row is answered on the event loop: a pool gains nothing there, and waking it makes a forest slower.

    Measured with two threads: a forest of 500 trees 0.052 ms a row instead of 0.034, a wide network 1.7 instead of 2.4.
    """
    return 1 if threads is None or recorded(version).predict(1) <= INLINE_S else threads


def _columns(x: Any) -> tuple[Mapping[str, Array], Array | None, int]:
    if isinstance(x, Batch):
        return x.columns, x.matrix, x.rows
    if isinstance(x, Mapping):
        columns = {str(name): np.asarray(values) for name, values in x.items()}
        return columns, None, len(next(iter(columns.values())))
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        return {str(name): x[name].to_numpy() for name in x.columns}, None, len(x)
    matrix = np.asarray(x.to_numpy() if hasattr(x, "to_numpy") else x)
    return {"inputs": matrix}, matrix, len(matrix)


def _typed(values: Array, dtype: np.dtype[Any], rank: int, largest: float | None = None) -> Array:
    if dtype.kind == "O":
        texts = [MISSING_TEXT if _missing(value) else str(value) for value in values.reshape(-1)]
        values = np.array(texts, dtype=object).reshape(values.shape)
    elif values.dtype != dtype:
        if dtype.itemsize < values.dtype.itemsize and values.dtype.kind == "f":
            _check_fits(values, dtype, largest)
        values = values.astype(dtype)
    if values.ndim == 1 and rank == 2:
        return values.reshape(-1, 1)
    if values.ndim == 2 and values.shape[1] == 1 and rank == 1:
        return values.reshape(-1)
    return values


def _check_fits(values: Array, dtype: np.dtype[Any], known: float | None) -> None:
    """Refuse what would become infinite: the model was verified in this precision, on values that it can hold."""
    too_large = _TOO_LARGE[dtype.itemsize]
    if known is not None and known < too_large:
        return
    bad = np.isfinite(values) & (np.abs(values) >= too_large)
    if bad.any():
        index = [int(i) for i in np.argwhere(bad)[0]]
        raise InvalidInputs(
            f"row {index[0]} holds {values[tuple(index)]:g}, which is too large for {dtype}",
            why=f"the model computes in {dtype}",
            fix=f"send less than {too_large:g}, or deploy it with --format native",
            field="inputs",
        )


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


class _Live:
    """One answer in the live object's dtype and shape: ONNX says float32 and (n, 1) where scikit-learn says float64 and
    (n,). `given` is the name of the session's output.
    """

    def __init__(self, output: Output, given: str) -> None:
        self.name = output.name
        self.given = given
        self._is_array = output.container == "ndarray"
        self._per_row = output.per_row
        self._shape = output.shape
        self._size = math.prod(output.shape)
        self._dtype = np.dtype(output.dtype) if self._is_array else np.dtype(object)

    def restore(self, value: Any, rows: int) -> Any:
        """What the live object would have returned for the session's `value`."""
        if not self._is_array or not isinstance(value, np.ndarray):
            return value
        if self._per_row and value.shape[1:] != self._shape and value.size == rows * self._size:
            value = value.reshape(rows, *self._shape)
        if self._dtype.kind == "U":
            return value.astype(str)
        return value if value.dtype == self._dtype else value.astype(self._dtype)
