"""CatBoost's trees as ONNX, which it writes itself: without the dicts that it makes of the probabilities."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.boosters import Part, only, register
from autodeploy_magic.errors import ExportFailed
from autodeploy_magic.registry import need

__all__ = ["as_onnx", "teach"]

_FEATURE = "writing a CatBoost model as ONNX"


def as_onnx(model: Any) -> Any:
    """The ONNX model of a classifier (labels, probabilities) or of anything else (its values)."""
    onnx = need("onnx", _FEATURE)
    with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
        path = Path(folder) / "model.onnx"
        model.save_model(str(path), format="onnx")
        made = onnx.load(str(path))
    classifies = any(node.op_type == "TreeEnsembleClassifier" for node in made.graph.node)
    if classifies and not hasattr(model, "predict_proba"):
        raise ExportFailed("CatBoost writes labels and probabilities into ONNX, and this model answers others")
    zipped = [node for node in made.graph.node if node.op_type == "ZipMap"]
    parts: dict[Part, Any] = {}
    if classifies:
        parts["labels"] = made.graph.output[0]
        for node in zipped:
            made.graph.node.remove(node)
            name = node.input[0]
            parts["probabilities"] = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, None])
    else:
        # It says one dimension, and there are two.
        name = made.graph.output[0].name
        parts["values"] = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, None])
    wanted: tuple[Part, ...] = ("labels", "probabilities") if classifies else ("values",)
    made = only(made, parts, wanted)
    made.graph.name = "catboost"
    del made.metadata_props[:]
    return made


def teach() -> None:
    """Register CatBoost's own conversion with skl2onnx."""
    import catboost

    register(catboost.CatBoostClassifier, _convert, parser=_classifier_outputs)
    register(catboost.CatBoostRegressor, _convert)


def _classifier_outputs(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Two outputs, which skl2onnx gives by itself to scikit-learn's own classifiers only."""
    del custom_parsers
    types = need("skl2onnx.common.data_types", _FEATURE)
    operator = scope.declare_local_operator("autodeploy_catboost_CatBoostClassifier", model)
    operator.inputs = inputs
    text = model.classes_.dtype.kind in "OU"
    operator.outputs.append(
        scope.declare_local_variable("label", types.StringTensorType() if text else types.Int64TensorType())
    )
    operator.outputs.append(scope.declare_local_variable("probabilities", types.FloatTensorType()))
    return operator.outputs


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Put the nodes of CatBoost's own graph where the operator stands."""
    onnx = need("onnx", _FEATURE)
    graph = as_onnx(operator.raw_operator).graph
    names = {graph.input[0].name: operator.inputs[0].full_name}
    names |= {ours.name: theirs.full_name for ours, theirs in zip(graph.output, operator.outputs, strict=True)}
    for node in graph.node:
        container.add_node(
            node.op_type,
            [names.get(name, name) for name in node.input],
            [names.get(name, name) for name in node.output],
            op_domain=node.domain,
            op_version=1,
            name=scope.get_unique_operator_name("CatBoost"),
            **{item.name: onnx.helper.get_attribute_value(item) for item in node.attribute},
        )
