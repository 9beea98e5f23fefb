"""ONNX through onnxruntime."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.contracts import Output, Version
from autodeploy_magic.errors import ModelFailed, StartFailed
from autodeploy_magic.wire import Batch

__all__ = ["OnnxRunner"]

Array = NDArray[Any]

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}
MISSING_TEXT = ""
"""What a missing text becomes: ONNX strings have no null."""


class OnnxRunner:
    """An onnxruntime session that answers as the live object does.

    Session outputs stand in the order of the version's model outputs. One session input takes all columns of a table
    side by side; several take the columns of their names.
    """

    needs_container = False

    def __init__(self, path: Path, version: Version, *, threads: int) -> None:
        # It reports each model to its maker otherwise, by a thread that it starts at import.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads burn a core between requests and gain nothing at a request's size.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [
            (item.name, _DTYPES.get(item.type, ""), len(item.shape or [])) for item in self._session.get_inputs()
        ]
        unknown = [item.type for item in self._session.get_inputs() if item.type not in _DTYPES]
        if unknown:
            raise StartFailed(f"the model has an input of type {unknown[0]}", fix="deploy with --format native")
        self._given = [item.name for item in self._session.get_outputs()]
        self._outputs = version.model_outputs or version.outputs
        self._positions = {output.name: i for i, output in enumerate(self._outputs)}

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer `x`, a `Batch` or what a preprocess returned, in the live object's dtypes."""
        feeds, rows = self._feeds(x)
        positions = [self._positions[name] for name in names]
        found = self._session.run([self._given[i] for i in positions], feeds)
        return {
            name: _as_live(self._outputs[i], value, rows)
            for name, i, value in zip(names, positions, found, strict=True)
        }

    def _feeds(self, x: Any) -> tuple[dict[str, Array], int]:
        columns, matrix, rows = _columns(x)
        if len(self._inputs) == 1:
            name, dtype, rank = self._inputs[0]
            if matrix is None:
                parts = list(columns.values())
                matrix = parts[0] if len(parts) == 1 else np.column_stack(parts)
            return {name: _typed(matrix, dtype, rank)}, rows
        try:
            return {name: _typed(columns[name], dtype, rank) for name, dtype, rank in self._inputs}, rows
        except KeyError as error:
            raise ModelFailed(f"the model's input {error} is not among the columns") from error


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


def _typed(values: Array, dtype: str, rank: int) -> Array:
    if dtype == "object":
        texts = [MISSING_TEXT if _missing(value) else str(value) for value in values.reshape(-1)]
        values = np.array(texts, dtype=object).reshape(values.shape)
    elif values.dtype != dtype:
        values = values.astype(dtype)
    if values.ndim == 1 and rank == 2:
        return values.reshape(-1, 1)
    if values.ndim == 2 and values.shape[1] == 1 and rank == 1:
        return values.reshape(-1)
    return values


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _as_live(output: Output, value: Any, rows: int) -> Any:
    """The live object's dtype and shape: ONNX says float32 and (n, 1) where scikit-learn says float64 and (n,)."""
    if output.container != "ndarray" or not isinstance(value, np.ndarray):
        return value
    if output.per_row and value.shape[1:] != output.shape and value.size == rows * int(np.prod(output.shape)):
        value = value.reshape(rows, *output.shape)
    dtype = np.dtype(output.dtype)
    if dtype.kind == "U":
        return value.astype(str)
    return value if value.dtype == dtype else value.astype(dtype)
