"""Linear models as ONNX, in doubles as statsmodels computes: the columns times the parameters, through the link."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.errors import BrokenPackage, ExportFailed, MissingPackage
from autodeploy_magic.registry import need

__all__ = ["as_onnx"]

_LINKS = {
    "OLS": "",
    "WLS": "",
    "GLS": "",
    "GLSAR": "",
    "RLM": "",
    "QuantReg": "",
    "Logit": "Sigmoid",
    "Poisson": "Exp",
}
"""Model → the ONNX operator of its link's inverse, "" for none."""
_GLM_LINKS = {"Identity": "", "Logit": "Sigmoid", "Log": "Exp"}


def as_onnx(model: Any, x: Any) -> Any:
    """The ONNX model of what `predict` says to columns. Raises `ExportFailed` where the model is of another kind."""
    import numpy as np

    kind = type(model.model).__name__
    if getattr(model.model, "formula", None):
        raise _refusal(kind, "a formula reads the columns by Python code")
    link = _GLM_LINKS.get(type(model.model.family.link).__name__) if kind == "GLM" else _LINKS.get(kind)
    params = np.asarray(model.params, dtype=np.float64)
    if link is None or params.ndim != 1:
        raise _refusal(kind, "it is not columns times parameters through the identity, logit or log")
    rows = np.asarray(x)
    if rows.ndim != 2 or rows.dtype.kind not in "fiub" or rows.shape[1] != len(params):
        raise _refusal(kind, f"the input has shape {rows.shape} and dtype {rows.dtype}, for {len(params)} parameters")
    try:
        onnx = need("onnx", "writing a statsmodels model as ONNX")
    except (MissingPackage, BrokenPackage) as error:
        raise ExportFailed(error.what, why=f"{error.what}: {error.fix}", fix=error.fix) from error
    helper, double = onnx.helper, onnx.TensorProto.DOUBLE
    steps = ["MatMul", *([link] if link else [])]
    names = ["inputs", *(f"step{i}" for i in range(len(steps)))]
    nodes = [
        helper.make_node(step, [names[i], "params"] if step == "MatMul" else [names[i]], [names[i + 1]])
        for i, step in enumerate(steps)
    ]
    nodes.append(helper.make_node("Squeeze", [names[-1], "axis"], ["predictions"]))
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("inputs", double, [None, len(params)])],
        [helper.make_tensor_value_info("predictions", double, [None])],
        [
            helper.make_tensor("params", double, [len(params), 1], params.tolist()),
            helper.make_tensor("axis", onnx.TensorProto.INT64, [1], [1]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _refusal(kind: str, why: str) -> ExportFailed:
    return ExportFailed(
        f"{kind} cannot be written as onnx", why=f"{kind}: {why}", fix="deploy it with --format native, or auto"
    )
