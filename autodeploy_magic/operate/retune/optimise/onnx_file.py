"""A champion's ONNX graph, read to be changed, and written beside; the champion's own file is never touched."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.registry import need

if TYPE_CHECKING:
    from autodeploy_magic.operate.retune.champion import Champion

__all__ = ["DOUBLE", "FLOAT", "constants", "nodes", "operators", "read", "session", "tidy", "typed", "write"]

FLOAT, DOUBLE = 1, 11
"""`TensorProto.DataType` of float32 and float64."""

_LARGEST_BYTES = 2**31 - 2**24
"""A protobuf holds less than 2 GiB; some room is left for what a change adds."""

_KINDS = {
    "float": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "string": 8,
    "bool": 9,
    "float16": 10,
    "double": 11,
    "uint32": 12,
    "uint64": 13,
}
"""onnxruntime's names of the types of tensors → `TensorProto.DataType`."""


def read(champion: Champion) -> Any:
    """The graph that serves, as a `ModelProto` of one's own. Raises `NotApplicable` where it is no single file."""
    file = champion.needs_onnx()
    if file.stat().st_size >= _LARGEST_BYTES:
        raise NotApplicable("its ONNX file is 2 GB or more, which cannot be changed in one piece")
    onnx = need("onnx", "changing an ONNX file")
    model = onnx.load_model_from_string(file.read_bytes())
    if any(item.data_location == onnx.TensorProto.EXTERNAL for item in model.graph.initializer):
        raise NotApplicable("its weights lie in other files beside the graph")
    return model


def write(model: Any, folder: Path) -> Path:
    """Write it into a candidate's folder, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString(deterministic=True))
    return file


def nodes(graph: Any) -> Iterator[Any]:
    """Every operator, also those of the branches and loops within."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from nodes(inner)


def operators(model: Any) -> Mapping[str, int]:
    """How many of each kind of operator it has."""
    return Counter(node.op_type for node in nodes(model.graph))


def constants(model: Any) -> dict[str, Any]:
    """The weights of its graph: initialisers that are no inputs besides, which a caller might replace."""
    given = {item.name for item in model.graph.input}
    return {item.name: item for item in model.graph.initializer if item.name not in given}


def session(source: Path | bytes, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU, set up as `serve.runtime.providers` sets up a worker's."""
    # It reports each model to its maker otherwise, by a thread that it starts at import.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime = need("onnxruntime", "running an ONNX file")
    options = _options(onnxruntime, threads)
    return onnxruntime.InferenceSession(
        source if isinstance(source, bytes) else str(source), options, providers=["CPUExecutionProvider"]
    )


def tidy(model: Any, folder: Path, level: str = "ORT_ENABLE_BASIC") -> Any:
    """The graph as onnxruntime's own optimiser leaves it at `level`: constants folded, dead ends gone.

    Basic keeps to ONNX's own operators; extended also fuses into onnxruntime's; what stands above is for this very
    processor and is not kept in a file.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime = need("onnxruntime", "optimising an ONNX file")
    onnx = need("onnx", "optimising an ONNX file")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tidied.onnx"
    options = _options(onnxruntime, 1)
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(file)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load_model_from_string(file.read_bytes())
    finally:
        file.unlink(missing_ok=True)


def typed(model: Any) -> Any:
    """Note the type of every value in the graph: ONNX's own inference stops at operators of ai.onnx.ml.

    onnxruntime knows them all. A shape that it calls empty may be unknown, and is left out.
    """
    onnx = need("onnx", "changing an ONNX file")
    graph = model.graph
    known = {item.name for item in (*graph.value_info, *graph.input, *graph.output)}
    asked = type(model)()
    asked.CopyFrom(model)
    for node in graph.node:
        asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name and name not in known)
    for item in session(asked.SerializeToString()).get_outputs():
        kind = _KINDS.get(item.type.removeprefix("tensor(").removesuffix(")"))
        if item.name not in known and kind is not None:
            graph.value_info.append(onnx.helper.make_tensor_value_info(item.name, kind, item.shape or None))
    return model


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
