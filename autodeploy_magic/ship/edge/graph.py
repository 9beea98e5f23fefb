"""The graph as devices take it: in ONNX Runtime's own format, and the list of operators that a small build needs.

What is written is what onnxruntime's own converter (`onnxruntime.tools.convert_onnx_models_to_ort`, style Fixed, level
"all") writes: the same session options, and as there without the layout that only processors with AVX have. It is asked
directly, because the converter prints, and names folders of this machine in what it writes.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from autodeploy_magic.errors import ShipFailed
from autodeploy_magic.formats import ONNX_DTYPES
from autodeploy_magic.registry import need
from autodeploy_magic.ship.edge.ordered import UnknownFormat, ordered

__all__ = ["fixed_rows", "session_inputs", "session_outputs", "write_operators", "write_ort"]

_LEVEL = "ORT_ENABLE_ALL"


def write_ort(model: Path, to: Path) -> Any:
    """Write the model as `to` in the ORT format, and return the session that did. Raises `ShipFailed`."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime = need("onnxruntime", "shipping to the edge")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVEL)
    options.optimized_model_filepath = str(to)
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.save_model_format", "ORT")
    try:
        session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=["NchwcTransformer"]
        )
    except Exception as error:  # its own kinds, which have no common name
        raise ShipFailed(
            "the model cannot be written in ONNX Runtime's format",
            why=(str(error).splitlines() or [type(error).__name__])[0][:300],
            fix="ship it as an image: `%deploy containerize`",
        ) from error
    with contextlib.suppress(UnknownFormat):  # of a newer onnxruntime: it is right as it is, and other bytes each time
        to.write_bytes(ordered(to.read_bytes()))
    return session


def write_operators(ort: Path, to: Path) -> None:
    """Write the operators and types that the model needs: `--include_ops_by_config` of a minimal build reads them."""
    tools = need("onnxruntime.tools.ort_format_model", "shipping to the edge")
    log = logging.getLogger("ort_format_model.utils")
    log.setLevel(logging.WARNING)  # it tells of every file, on standard error
    tools.create_config_from_models([ort], to, True)
    lines = [line for line in to.read_text("utf-8").splitlines() if not line.startswith("#")]  # folders of this machine
    to.write_text("\n".join([f"# Generated from {ort.name}", *lines, ""]), "utf-8")


def session_inputs(session: Any) -> list[dict[str, Any]]:
    """The graph's inputs: name, numpy's dtype ("object" for text), and number of dimensions."""
    return [
        {"name": item.name, "dtype": ONNX_DTYPES.get(item.type, item.type), "rank": len(item.shape or [])}
        for item in session.get_inputs()
    ]


def session_outputs(session: Any) -> list[dict[str, str]]:
    """The graph's outputs: name and numpy's dtype; what is no tensor has onnxruntime's word for it."""
    return [{"name": item.name, "dtype": ONNX_DTYPES.get(item.type, item.type)} for item in session.get_outputs()]


def fixed_rows(model: Path, to: Path, rows: int) -> None:
    """Write the model as `to`, taking exactly `rows` rows. Raises `ShipFailed` where its graph fixes them already."""
    onnx = need("onnx", "shipping with a fixed batch")
    graph = onnx.load(str(model))
    for item in graph.graph.input:
        first = item.type.tensor_type.shape.dim[0] if item.type.tensor_type.shape.dim else None
        if first is None or (first.HasField("dim_value") and first.dim_value != rows):
            raise ShipFailed(
                f"the input {item.name!r} has no number of rows that could be set to {rows}",
                why="the graph was exported for another number, or has no dimension of rows",
                fix="leave batch out",
            )
        first.dim_value = rows
    for item in [*graph.graph.output, *graph.graph.value_info]:
        if item.type.tensor_type.shape.dim:
            item.type.tensor_type.shape.dim[0].ClearField("dim_param")
    to.write_bytes(graph.SerializeToString(deterministic=True))
