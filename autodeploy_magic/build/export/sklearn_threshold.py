"""A classifier of two classes that decides by a threshold of its own: skl2onnx forgets the threshold, or the class.

So what is beneath it becomes ONNX, and the graph is given the decision: the label is that of the positive class where
its probability reaches the threshold.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

__all__ = ["Decision", "beneath"]

_KINDS = {"FixedThresholdClassifier": "threshold", "TunedThresholdClassifierCV": "best_threshold_"}


@dataclass(frozen=True)
class Decision:
    """From which probability of the class at position `positive` that one is answered, and else the other."""

    classes: tuple[Any, ...]
    positive: int
    threshold: float

    def put_into(self, onnx_model: Any) -> Any:
        """The graph, whose outputs are a label and the probabilities, with this decision in it."""
        import numpy as np
        from onnx import TensorProto, helper, numpy_helper

        graph = onnx_model.graph
        label, probabilities = graph.output[0], graph.output[1]
        double = probabilities.type.tensor_type.elem_type == TensorProto.DOUBLE
        text = label.type.tensor_type.elem_type == TensorProto.STRING
        kind = np.dtype(object) if text else np.dtype(np.int64)
        other = 1 - self.positive
        values = {
            "decided_at": np.asarray(self.threshold, dtype=np.float64 if double else np.float32),
            "decided_by": np.asarray(self.positive, dtype=np.int64),
            "decided_yes": np.asarray([self.classes[self.positive]], dtype=kind),
            "decided_no": np.asarray([self.classes[other]], dtype=kind),
        }
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
        graph.node.extend(
            (
                helper.make_node("Gather", [probabilities.name, "decided_by"], ["decided_score"], axis=1),
                helper.make_node("Less", ["decided_score", "decided_at"], ["decided_below"]),
                helper.make_node("Where", ["decided_below", "decided_no", "decided_yes"], ["decided_label"]),
            )
        )
        element = label.type.tensor_type.elem_type
        label.CopyFrom(helper.make_tensor_value_info("decided_label", element, [None]))
        return onnx_model


def beneath(model: Any) -> tuple[Any, Decision | None]:
    """What is beneath the threshold that `model`, or a pipeline's last step, decides by, and the decision; or itself.

    One that decides by something else than probabilities stays as it is: the sample then shows whether it is right.
    """
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline):
        *before, (name, step) = model.steps
        inner, decision = beneath(step)
        if decision is None:
            return model, None
        changed = copy.copy(model)
        changed.steps = [*before, (name, inner)]
        return changed, decision
    attribute = _KINDS.get(type(model).__name__, "")
    if not hasattr(model, attribute) or not hasattr(model, "estimator_"):
        return model, None
    threshold = getattr(model, attribute)
    by_probability = getattr(model, "response_method", "auto") in ("auto", "predict_proba")
    if not by_probability or not hasattr(model.estimator_, "predict_proba"):
        return model, None
    classes = tuple(model.classes_.tolist())
    label = getattr(model, "pos_label", None)
    positive = classes.index(label) if label in classes else 1
    return model.estimator_, Decision(classes, positive, 0.5 if threshold == "auto" else float(threshold))
