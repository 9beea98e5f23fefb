"""A fitted pipeline on its way to ONNX: the few settings that skl2onnx needs otherwise, in a copy.

Only the steps that change are copied, and the person's own object is not touched. Verification then replays the sample
against that object, so a change made here can make a format fail, and never an answer wrong.
"""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["as_named", "by_target", "unwrapped", "with_missing_as_empty", "with_trees_in_float32", "without_flattening"]

EMPTY = ""
"""What `serve.runtime.onnx` sends for a missing text."""


NEVER = "\x00"
"""A text that no column holds: what an imputer looks for that finds nothing to do."""


def with_missing_as_empty(model: Any, *, none: bool = False) -> Any:
    """Return `model` with "" for missing text in its imputers and one-hot encoders.

    `none` says that a missing text is None, as in frames of polars, and not NaN, as in pandas': an imputer fills
    the one that it was told of. ONNX strings have no null: the runtime sends "" and the graph must expect it. (An
    OrdinalEncoder says NaN for what is missing, which no text can stand for: it stays as it is, and native.)
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion, Pipeline

    if isinstance(model, Pipeline):
        return _with(model, "steps", [(name, with_missing_as_empty(step, none=none)) for name, step in model.steps])
    if isinstance(model, ColumnTransformer):
        fitted = [(name, with_missing_as_empty(step, none=none), names) for name, step, names in model.transformers_]
        return _with(model, "transformers_", fitted)
    if isinstance(model, FeatureUnion):
        members = [(name, with_missing_as_empty(step, none=none)) for name, step in model.transformer_list]
        return _with(model, "transformer_list", members)
    return _step(model, none=none)


def _with(model: Any, attribute: str, members: list[tuple[Any, ...]]) -> Any:
    if all(new[1] is old[1] for new, old in zip(members, getattr(model, attribute), strict=True)):
        return model
    changed = copy.copy(model)
    setattr(changed, attribute, members)
    return changed


def _step(step: Any, *, none: bool) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    if isinstance(step, SimpleImputer):
        text = step.statistics_.dtype.kind in "OU" and all(isinstance(value, str) for value in step.statistics_)
        if text and _is_missing(step.missing_values):
            changed = copy.copy(step)
            changed.missing_values = EMPTY if (step.missing_values is None) is none else NEVER
            return changed
    if isinstance(step, OneHotEncoder):
        categories = [_without_missing(values) for values in step.categories_]
        if any(new is not old for new, old in zip(categories, step.categories_, strict=True)):
            changed = copy.copy(step)
            changed.categories_ = categories
            return changed
    return step


def _without_missing(categories: Any) -> Any:
    """The learned categories of a text column with "" for None or NaN."""
    if categories.dtype.kind != "O" or not any(_is_missing(value) for value in categories):
        return categories
    changed = categories.copy()
    changed[:] = [EMPTY if _is_missing(value) else value for value in categories]
    return changed


def _is_missing(value: Any) -> bool:
    return value is None or value != value or type(value).__name__ == "NAType"


def with_trees_in_float32(model: Any) -> Any:
    """Return a pipeline that ends in trees with a cast before them; any other `model` as it is.

    For a graph in doubles: scikit-learn's trees round their inputs to float32, whatever they are given, and comparing
    doubles with a threshold would move other rows than float32 throughout does. (skl2onnx's own advice for a scaler
    before a tree.)
    """
    from sklearn.pipeline import Pipeline

    if not isinstance(model, Pipeline) or len(model.steps) < 2 or not _is_of_trees(model.steps[-1][1]):
        return model
    from skl2onnx.sklapi import CastTransformer

    changed = copy.copy(model)
    changed.steps = [*model.steps[:-1], ("to_float32", CastTransformer()), model.steps[-1]]
    return changed


def _is_of_trees(step: Any) -> bool:
    """Whether it is a decision tree, or a forest or a gradient boosting of them: all three answer by `sklearn.tree`."""
    from sklearn.tree import BaseDecisionTree

    members = getattr(step, "estimators_", None)
    first = step if members is None else next(iter(getattr(members, "flat", members)), None)
    return isinstance(first, BaseDecisionTree)


def unwrapped(model: Any) -> Any:
    """Return the estimator that answers in a search, a self-training or an elimination of features, for which skl2onnx
    has no converters, or wrong ones.
    """
    from sklearn.feature_selection import RFE
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline):
        *before, (last, step) = model.steps
        return _with(model, "steps", [*before, (last, unwrapped(step))])
    if isinstance(model, RFE):  # skl2onnx knows the columns that it keeps, and not that it predicts
        return Pipeline([("kept", model), ("estimator", unwrapped(model.estimator_))])
    for attribute in ("best_estimator_", "estimator_" if type(model).__name__ == "SelfTrainingClassifier" else ""):
        if attribute and hasattr(model, attribute):
            return unwrapped(getattr(model, attribute))
    if type(model).__name__ == "FrozenEstimator":
        return unwrapped(model.estimator)
    if hasattr(model, "calibrated_classifiers_"):
        return _calibrated(model)
    return model


def _calibrated(model: Any) -> Any:
    """A calibration with the estimators themselves in the place of frozen ones."""
    inner = [unwrapped(one.estimator) for one in model.calibrated_classifiers_]
    if all(new is old.estimator for new, old in zip(inner, model.calibrated_classifiers_, strict=True)):
        return model
    changed = copy.copy(model)
    changed.estimator = inner[0]
    changed.calibrated_classifiers_ = [copy.copy(one) for one in model.calibrated_classifiers_]
    for one, estimator in zip(changed.calibrated_classifiers_, inner, strict=True):
        one.estimator = estimator
    return changed


def by_target(onnx_model: Any, model: Any) -> Any:
    """Return the graph with the probabilities of several targets as (rows, targets, classes): skl2onnx gives one tensor
    for each target, or puts the targets first.
    """
    if not isinstance(getattr(model, "classes_", None), list) or len(onnx_model.graph.output) < 2:
        return onnx_model
    from onnx import TensorProto, helper

    graph = onnx_model.graph
    given = graph.output[1]
    name = f"{given.name}_by_target"
    if given.type.WhichOneof("value") == "sequence_type":
        element = given.type.sequence_type.elem_type.tensor_type.elem_type
        node = helper.make_node("ConcatFromSequence", [given.name], [name], axis=1, new_axis=1)
    else:
        element = given.type.tensor_type.elem_type
        node = helper.make_node("Transpose", [given.name], [name], perm=[1, 0, 2])
    graph.node.append(node)
    graph.output[1].CopyFrom(helper.make_tensor_value_info(name, element or TensorProto.FLOAT, [None, None, None]))
    return onnx_model


def as_named(onnx_model: Any, names: list[str]) -> Any:
    """Return the graph with its inputs called `names`: skl2onnx turns "petal length (cm)" into what a variable could be
    called, and what is sent has the column's own name.
    """
    graph = onnx_model.graph
    given = [item.name for item in graph.input]
    if len(given) != len(names) or given == names:
        return onnx_model
    new = dict(zip(given, names, strict=True))
    for item in graph.input:
        item.name = new[item.name]
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = new.get(name, name)
    return onnx_model


def without_flattening(model: Any) -> Any:
    """Return a soft vote that skl2onnx converts: `flatten_transform` has no part in its predictions."""
    from sklearn.ensemble import VotingClassifier
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline):
        return _with(model, "steps", [(name, without_flattening(step)) for name, step in model.steps])
    if isinstance(model, VotingClassifier) and model.flatten_transform:
        changed = copy.copy(model)
        changed.flatten_transform = False
        return changed
    return model
