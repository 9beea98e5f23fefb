"""XGBoost's trees as ONNX, through onnxmltools' converter, which is given a twin of the model that it reads rightly.

It wants features that are called f0, f1, …; takes trees in turns of the classes, where several are grown a round; knows
the objective from the wrapper's parameters, which fitting may have overruled; and cuts no round off after the best one
of a model that stopped early and has several trees a round.
"""

from __future__ import annotations

import json
from typing import Any

from autodeploy_magic.build.export.boosters import Part, from_skl2onnx, only, register
from autodeploy_magic.errors import ExportFailed
from autodeploy_magic.registry import need

__all__ = ["as_onnx", "teach"]


def teach() -> None:
    """Register the converter with skl2onnx for every wrapper of XGBoost's."""
    import xgboost

    need("onnxmltools", "writing an XGBoost model as ONNX")
    for name in ("XGBClassifier", "XGBRFClassifier", "XGBRegressor", "XGBRFRegressor", "XGBRanker"):
        register(getattr(xgboost, name), _convert)


def as_onnx(model: Any, columns: int) -> Any:
    """A wrapper or a Booster as an ONNX model that gives what `predict` and `predict_proba` say."""
    teach()
    native = not hasattr(model, "get_booster")
    wrapper, wanted = _wrapped(model) if native else (model, _parts_of(model))
    classifies = hasattr(wrapper, "predict_proba")
    made = from_skl2onnx(wrapper, columns, classifies=classifies)
    outputs = list(made.graph.output)
    parts: dict[Part, Any] = (
        {"labels": outputs[0], "probabilities": outputs[1]} if classifies else {"values": outputs[0]}
    )
    return only(made, parts, wanted)


def _parts_of(model: Any) -> tuple[Part, ...]:
    return ("labels", "probabilities") if hasattr(model, "predict_proba") else ("values",)


def _wrapped(booster: Any) -> tuple[Any, tuple[Part, ...]]:
    """A wrapper around a Booster, and what of the wrapper's answers the Booster's own is."""
    import xgboost

    learner = json.loads(booster.save_config())["learner"]
    objective = str(learner["objective"]["name"])
    answers: dict[str, Part] = {
        "binary:logistic": "positive",
        "binary:hinge": "labels",
        "multi:softprob": "probabilities",
        "multi:softmax": "labels",
    }
    wrapper = xgboost.XGBClassifier() if objective in answers else xgboost.XGBRegressor()
    trees = xgboost.Booster(model_file=bytearray(booster.save_raw("ubj")))
    trees.set_attr(best_iteration=None)  # a Booster answers with all its trees, where a wrapper does not
    wrapper.__dict__["_Booster"] = trees
    if objective in answers:
        wrapper.n_classes_ = max(int(learner["learner_model_param"]["num_class"]), 2)
    return wrapper, (answers.get(objective, "values"),)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    converters = need("onnxmltools.convert.xgboost.operator_converters.XGBoost", "writing an XGBoost model as ONNX")
    operator.raw_operator = _twin(operator.raw_operator)
    converters.convert_xgboost(scope, operator, container)


def _twin(model: Any) -> Any:
    """A wrapper with the trees that answer and no others, in the order and with the names that the converter reads."""
    import xgboost

    booster = model.get_booster()
    learner = json.loads(booster.save_config())["learner"]
    grown = learner["gradient_booster"]["name"]
    if grown != "gbtree":
        raise ExportFailed(f"onnxmltools converts trees of the kind gbtree, and these are of {grown}")
    if "c" in (booster.feature_types or ()):
        raise ExportFailed("a split by category is not exported")
    own = xgboost.Booster(model_file=bytearray(booster.save_raw("ubj")))
    if hasattr(model, "best_iteration") and model.best_iteration + 1 < own.num_boosted_rounds():
        own = own[: model.best_iteration + 1]
    own.set_attr(best_iteration=None, best_score=None)
    own.feature_names = own.feature_types = None
    classes = int(learner["learner_model_param"]["num_class"]) or 1
    trees = own.get_dump(with_stats=True, dump_format="json")
    parallel = max(len(trees) // (own.num_boosted_rounds() * classes), 1)
    if parallel > 1 and classes > 1:
        rounds = range(own.num_boosted_rounds())
        trees = [
            trees[(i * classes + label) * parallel + p]
            for i in rounds
            for p in range(parallel)
            for label in range(classes)
        ]
    vars(own)["get_dump"] = lambda **_: trees
    kind: Any = type(model)
    twin = kind.__new__(kind)
    vars(twin).update(vars(model), _Booster=own)
    twin.n_estimators = len(trees) // classes
    twin.objective = "multi:softprob" if classes > 1 else learner["objective"]["name"]
    return twin
