"""What both ways to int8 share: which operators are worth it, in which range, and which of them lose most by it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodeploy_magic.errors import NotApplicable
from autodeploy_magic.operate.retune.optimise.onnx_answers import Feeds
from autodeploy_magic.operate.retune.optimise.onnx_file import FLOAT, constants, nodes, operators, session, tidy, typed
from autodeploy_magic.registry import need

__all__ = ["LEAST_WEIGHTS", "QUANTISED", "has_attention", "needs_room", "prepared", "products", "sorest", "weight_of"]

Array = NDArray[Any]

LEAST_WEIGHTS = 128 * 128
"""A product with fewer weights is no faster in int8. Measured, dynamic, 1 row and 32 rows: 128 × 128 weights 0.86 and
1.7 times as fast as in float, 256 × 256 1.45 and 2.5, 1024 × 1024 2.8 and 4."""

QUANTISED = {
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "QLinearConv",
    "QLinearMatMul",
}
_FOUND_ROWS = 64


@cache
def needs_room(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether weights must keep to 7 bits, lest sums of products overflow on their way.

    AVX2 and AVX-512 without VNNI add two products of uint8 and int8 in 16 bits, which saturate. Source: onnxruntime,
    "Quantize ONNX models", on `reduce_range`. Where nothing tells, an x86 is taken for one of them.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "x86", "i386", "i686"):
        return False
    try:
        words = set(cpuinfo.read_text("ascii", "replace").split())
    except OSError:
        return True  # not Linux
    return not words & {"avx512_vnni", "avx_vnni", "avx_vnni_int8"}


def prepared(model: Any, folder: Path, least_opset: int = 11) -> Any:
    """The graph tidied, every operator with a name and every value with a type, as onnxruntime's quantiser wants it.

    Raises `NotApplicable` for one that is int8 already, that computes in doubles, or that is too old.
    """
    if QUANTISED & set(operators(model)):
        raise NotApplicable("it is int8 already")
    opset = max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)
    if opset < least_opset:
        raise NotApplicable(f"its ONNX operators are of version {opset}, and int8 asks for {least_opset}")
    found = _flat_biases(tidy(model, folder))
    for i, node in enumerate(found.graph.node):
        node.name = node.name or f"{node.op_type}_{i}"
    return typed(found)


def _flat_biases(model: Any) -> Any:
    """Each Gemm's bias of one row as a vector: with scales for each channel the quantiser takes nothing else."""
    onnx = need("onnx", "changing an ONNX file")
    held = constants(model)
    for node in model.graph.node:
        if node.op_type == "Gemm" and len(node.input) > 2 and node.input[2] in held:
            bias = onnx.numpy_helper.to_array(held[node.input[2]])
            if bias.ndim == 2 and bias.shape[0] == 1:
                node.input[2] = f"{node.input[2]}_flat"
                if node.input[2] not in {item.name for item in model.graph.initializer}:
                    model.graph.initializer.append(onnx.numpy_helper.from_array(bias[0], node.input[2]))
    used = {name for node in nodes(model.graph) for name in node.input} | {item.name for item in model.graph.output}
    kept = [item for item in model.graph.initializer if item.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def products(model: Any, kinds: Iterable[str] = ("MatMul", "Gemm")) -> list[Any]:
    """The operators of those kinds, one level deep, whose weights are constants in float32."""
    held = constants(model)
    wanted = set(kinds)
    return [node for node in model.graph.node if node.op_type in wanted and _is_weight(node, held)]


def _is_weight(node: Any, held: dict[str, Any]) -> bool:
    return len(node.input) > 1 and node.input[1] in held and held[node.input[1]].data_type == FLOAT


def weight_of(model: Any, node: Any) -> int:
    """How many weights a product has."""
    return int(np.prod(constants(model)[node.input[1]].dims))


def has_attention(model: Any) -> bool:
    """Whether values are multiplied with each other and not with weights: a transformer's."""
    held = {
        *constants(model),
        *(name for node in model.graph.node if node.op_type == "Constant" for name in node.output),
    }
    known = {"Attention", "MultiHeadAttention", "QAttention", "GroupQueryAttention"}
    return any(
        node.op_type in known or (node.op_type == "MatMul" and not held & set(node.input)) for node in model.graph.node
    )


def sorest(model: Any, chosen: Sequence[Any], fed: Feeds) -> list[str]:
    """The names of the products `chosen`, the one first that int8 changes most.

    Each is judged by its own inputs, as a few rows bring them: the norm of what its product changes by, relative to the
    product. It costs one run, where trying each alone would cost a quantisation each.
    """
    onnx = need("onnx", "changing an ONNX file")
    asked = type(model)()
    asked.CopyFrom(model)
    names = sorted({node.input[0] for node in chosen})
    had = {item.name for item in (*asked.graph.output, *asked.graph.input)}
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in had)
    run = session(asked.SerializeToString())
    given = {item.name for item in asked.graph.input}
    wanted = [name for name in names if name not in given]
    rows: dict[str, list[Array]] = {name: [] for name in names}
    for feed in fed[: max(1, _FOUND_ROWS // max(len(next(iter(fed[0].values()))), 1))]:
        found = {**feed, **dict(zip(wanted, run.run(wanted, dict(feed)) if wanted else [], strict=True))}
        for name in names:
            rows[name].append(found[name].reshape(-1, found[name].shape[-1])[:512])
    held = constants(model)
    errors = {}
    for node in chosen:
        weights = onnx.numpy_helper.to_array(held[node.input[1]])
        turned = any(item.name == "transB" and item.i for item in node.attribute)
        errors[node.name] = _error(np.concatenate(rows[node.input[0]]), weights.T if turned else weights)
    return sorted(errors, key=lambda name: -errors[name])


def _error(x: Array, weights: Array) -> float:
    """The relative change of a product by int8: one scale for the rows, one for each column of the weights."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    step = (high - low) / 255 or 1.0
    near_x = np.round(x / step) * step
    steps = np.maximum(np.abs(weights).max(axis=0), 1e-12) / (64 if needs_room() else 127)
    near = np.round(weights / steps) * steps
    true = x @ weights
    return float(np.linalg.norm(near_x @ near - true) / max(float(np.linalg.norm(true)), 1e-12))
