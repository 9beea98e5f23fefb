"""LightGBM's trees as ONNX, through onnxmltools' converter, which is given a twin without the trees after the best one.

It takes every forest (boosting "rf") for one of 100 trees: those stay as they are.
"""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.export.boosters import Part, from_skl2onnx, only, register
from autodeploy_magic.errors import ExportFailed
from autodeploy_magic.registry import need

__all__ = ["as_onnx", "teach"]

_FEATURE = "writing a LightGBM model as ONNX"


def teach() -> None:
    """Register the converter with skl2onnx for every wrapper of LightGBM's."""
    import lightgbm

    need("onnxmltools", _FEATURE)
    for kind in (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
        register(kind, _convert)


def as_onnx(model: Any, columns: int) -> Any:
    """A wrapper or a Booster as an ONNX model that gives what `predict` and `predict_proba` say."""
    teach()
    wanted: tuple[Part, ...]
    if hasattr(model, "get_params"):
        wrapper, wanted = model, ("labels", "probabilities") if hasattr(model, "predict_proba") else ("values",)
    else:
        wrapper, wanted = _wrapped(model)
    classifies = hasattr(wrapper, "predict_proba")
    made = from_skl2onnx(wrapper, columns, classifies=classifies)
    outputs = list(made.graph.output)
    parts: dict[Part, Any] = (
        {"labels": outputs[0], "probabilities": outputs[1]} if classifies else {"values": outputs[0]}
    )
    return only(made, parts, wanted)


def _wrapped(booster: Any) -> tuple[Any, tuple[Part, ...]]:
    """A wrapper around a Booster, and what of the wrapper's answers the Booster's own is."""
    import lightgbm
    import numpy as np

    told = booster.dump_model(num_iteration=1)
    objective = str(told.get("objective", "")).partition(" ")[0]
    if objective not in ("binary", "multiclass"):
        wrapper: Any = lightgbm.LGBMRegressor()
        part: Part = "values"
    else:
        wrapper = lightgbm.LGBMClassifier()
        classes = np.arange(max(int(told["num_class"]), 2))
        vars(wrapper).update(_classes=classes, _n_classes=len(classes))
        part = "positive" if objective == "binary" else "probabilities"
    columns = booster.num_feature()
    vars(wrapper).update(
        _Booster=booster, _objective=objective, _n_features=columns, _n_features_in=columns, fitted_=True
    )
    return wrapper, (part,)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    converters = need("onnxmltools.convert.lightgbm.operator_converters.LightGbm", _FEATURE)
    operator.raw_operator = _twin(operator.raw_operator)
    converters.convert_lightgbm(scope, operator, container)


def _twin(model: Any) -> Any:
    """The wrapper with the trees that answer, and no others."""
    import lightgbm

    booster = model.booster_
    if callable(getattr(model, "_objective", None)):
        raise ExportFailed("its objective is a Python function, which onnxmltools does not convert")
    if booster.dump_model(num_iteration=1).get("average_output"):
        raise ExportFailed("onnxmltools takes every forest (boosting_type='rf') for one of 100 trees")
    if booster.pandas_categorical and any(booster.pandas_categorical):
        raise ExportFailed("a split by a pandas categorical is not exported")
    if booster.params.get("linear_tree"):
        raise ExportFailed("onnxmltools does not convert trees with linear leaves")
    best = booster.best_iteration
    text = booster.model_to_string(num_iteration=best if best > 0 else -1)
    kind: Any = type(model)
    twin = kind.__new__(kind)
    vars(twin).update(vars(model), _Booster=lightgbm.Booster(model_str=text))
    return twin
