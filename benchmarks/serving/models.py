"""The models that are served, each made the same way every time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["ENCODER", "IRIS", "PICTURE", "WIDE", "answers", "encoder", "forest", "iris", "picture", "tokens", "wide"]

Array = NDArray[Any]

IRIS: tuple[Array, Array] = load_iris(return_X_y=True)
PICTURE = (3, 224, 224)
WORDS, LENGTH, WIDTH, HEADS, BLOCKS = 1_000, 64, 256, 4, 3
ENCODER = f"transformer encoder: {BLOCKS} blocks, {LENGTH} tokens, width {WIDTH}, float32"
HIDDEN = 3_072
WIDE = f"MLP 64 → {HIDDEN} → {HIDDEN} → 10, float32"
_OPSET = 17


def iris() -> Pipeline:
    """StandardScaler and LogisticRegression on the iris table."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*IRIS)


def forest(trees: int = 300) -> RandomForestClassifier:
    """A random forest on the iris table."""
    return RandomForestClassifier(trees, random_state=0).fit(*IRIS)


def picture(file: Path) -> Path:
    """A picture of PICTURE to 10 scores: global average, then a dense layer. The tensor costs, not the model."""
    weights = np.random.default_rng(0).normal(size=(PICTURE[0], 10))
    return _save(
        file,
        [
            helper.make_node("GlobalAveragePool", ["inputs"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["predictions"]),
        ],
        {"weights": weights},
        helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["rows", *PICTURE]),
        10,
    )


def wide(file: Path) -> Path:
    """A multilayer perceptron whose weights are read from memory for each call, whether it has one row or many."""
    sizes = [64, HIDDEN, HIDDEN, 10]
    draw = np.random.default_rng(0)
    weights = {f"w{i}": draw.normal(size=(a, b)) / np.sqrt(a) for i, (a, b) in enumerate(pairwise(sizes))}
    nodes = []
    x = "inputs"
    for i in range(len(weights)):
        last = i == len(weights) - 1
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], ["predictions" if last else f"z{i}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"z{i}"], [f"a{i}"]))
            x = f"a{i}"
    return _save(file, nodes, weights, helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["rows", 64]), 10)


def encoder(file: Path) -> Path:
    """A small text classifier: embedding, blocks of attention and a dense layer of 4 × width, mean, head."""
    draw = np.random.default_rng(0)
    weights: dict[str, Array] = {
        "words": draw.normal(size=(WORDS, WIDTH)),
        "places": draw.normal(size=(LENGTH, WIDTH)),
        "head": draw.normal(size=(WIDTH, 4)) / 16,
        "scale": np.array(1 / np.sqrt(WIDTH // HEADS)),
        "gain": np.ones(WIDTH),
        "bias": np.zeros(WIDTH),
    }
    shapes = {"split": np.array([0, 0, HEADS, WIDTH // HEADS]), "joined": np.array([0, 0, WIDTH])}
    nodes = [
        helper.make_node("Gather", ["words", "inputs"], ["embedded"]),
        helper.make_node("Add", ["embedded", "places"], ["x0"]),
    ]
    for i in range(BLOCKS):
        nodes += _block(i, weights, draw)
    nodes += [
        helper.make_node("ReduceMean", [f"x{BLOCKS}"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["predictions"]),
    ]
    given = helper.make_tensor_value_info("inputs", TensorProto.INT64, ["rows", LENGTH])
    return _save(file, nodes, weights, given, 4, shapes)


def _block(i: int, weights: dict[str, Array], draw: np.random.Generator) -> list[onnx.NodeProto]:
    nodes: list[onnx.NodeProto] = []

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{output}{i}"], **attributes))
        return f"{output}{i}"

    def dense(x: str, output: str, a: int, b: int) -> str:
        weights[f"W{output}{i}"] = draw.normal(size=(a, b)) / np.sqrt(a)
        return node("MatMul", [x, f"W{output}{i}"], output)

    def heads(name: str, order: list[int]) -> str:
        split = node("Reshape", [dense(f"x{i}", name, WIDTH, WIDTH), "split"], f"{name}_split")
        return node("Transpose", [split], f"{name}_heads", perm=order)

    q, k, v = heads("q", [0, 2, 1, 3]), heads("k", [0, 2, 3, 1]), heads("v", [0, 2, 1, 3])
    scores = node("Mul", [node("MatMul", [q, k], "scores"), "scale"], "scaled")
    mixed = node("MatMul", [node("Softmax", [scores], "attention", axis=-1), v], "mixed")
    joined = node("Reshape", [node("Transpose", [mixed], "back", perm=[0, 2, 1, 3]), "joined"], "together")
    added = node("Add", [f"x{i}", dense(joined, "out", WIDTH, WIDTH)], "added")
    normal = node("LayerNormalization", [added, "gain", "bias"], "normal")
    active = node("Relu", [dense(normal, "up", WIDTH, 4 * WIDTH)], "active")
    summed = node("Add", [normal, dense(active, "down", 4 * WIDTH, WIDTH)], "summed")
    nodes.append(helper.make_node("LayerNormalization", [summed, "gain", "bias"], [f"x{i + 1}"]))
    return nodes


def _save(
    file: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, Array],
    given: onnx.ValueInfoProto,
    outputs: int,
    shapes: dict[str, Array] | None = None,
) -> Path:
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    constants += [numpy_helper.from_array(value.astype(np.int64), name) for name, value in (shapes or {}).items()]
    answer = helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["rows", outputs])
    graph = helper.make_graph(nodes, file.stem, [given], [answer], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)
    return file


def tokens(rows: int) -> Array:
    """Texts for the encoder."""
    return np.random.default_rng(1).integers(0, WORDS, size=(rows, LENGTH))


def answers(file: Path, x: Array) -> list[Any]:
    """What the model says to `x`, in this process."""
    import os

    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(None, {session.get_inputs()[0].name: x})[0].tolist()
    return found
