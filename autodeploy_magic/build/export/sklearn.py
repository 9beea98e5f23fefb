"""scikit-learn estimators and pipelines: native, and ONNX through skl2onnx.

ONNX computes in float32, which moves a split by a rounding error now and then: a tree after a float32 scaler can land
in another leaf. "onnx-float64" computes in doubles as scikit-learn does, for the models whose operators onnxruntime has
in doubles; verification decides which may serve.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from autodeploy_magic.build.export.base import Exporter, first_words
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadInput, ExportFailed, UnfittedModel
from autodeploy_magic.registry import need

__all__ = ["SklearnExporter", "exporter"]

_TEXT_VECTORIZERS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
"""ONNX splits text by another rule than Python's `re`, and by the machine's locale: measured 4e-3 off, or a crash."""


class SklearnExporter(Exporter):
    """Anything that derives from `sklearn.base.BaseEstimator`, other libraries' estimators included."""

    name = "sklearn"
    formats = ("native", "onnx")
    exact: ClassVar[Mapping[str, str]] = {"onnx": "onnx-float64"}

    def recognises(self, model: Any) -> bool:
        base = sys.modules.get("sklearn.base")
        return base is not None and isinstance(model, base.BaseEstimator)

    def check_fitted(self, model: Any, name: str) -> None:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(model)
        except NotFittedError as error:
            raise UnfittedModel(
                f"{name} ({type(model).__name__}) has not been fitted",
                why="a model answers only once it has been fitted",
                fix=f"call {name}.fit(…) first",
            ) from error
        if not self.methods(model):
            raise BadInput(
                f"{name} ({type(model).__name__}) can answer no new rows",
                why="it has neither predict nor transform: it only labels the rows it was fitted on",
                fix="deploy a model with predict, for example a classifier fitted on its labels",
            )

    def model_type(self, model: Any) -> str:
        steps = getattr(model, "steps", None)
        if steps:
            return " → ".join(self.model_type(step) for _, step in steps if step not in (None, "passthrough"))
        return type(model).__name__

    def task(self, model: Any) -> str:
        from sklearn import base

        if base.is_classifier(model):
            return "classification"
        if base.is_regressor(model):
            return "regression"
        if base.is_outlier_detector(model):
            return "outliers"
        if not _has(model, "predict"):
            return "transform"
        return "clustering" if base.is_clusterer(model) else "function"

    def methods(self, model: Any) -> dict[str, str]:
        if not _has(model, "predict"):
            return {"predictions": "transform"} if _has(model, "transform") else {}
        found = {"predictions": "predict"}
        if _has(model, "predict_proba") and not _has_several_targets(model):
            found["probabilities"] = "predict_proba"
        elif self.task(model) == "outliers" and _has(model, "decision_function"):
            found["scores"] = "decision_function"
        return found

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        return {name: getattr(model, method)(x) for name, method in self.methods(model).items()}

    def known_values(self, model: Any) -> dict[str, tuple[str, ...]]:
        from autodeploy_magic.build.export.sklearn_known import known_values

        return known_values(model)

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        skl2onnx = need("skl2onnx", "writing a scikit-learn model as ONNX")
        from sklearn.impute import SimpleImputer

        from autodeploy_magic.build.export import sklearn_adapt as adapt
        from autodeploy_magic.build.export.sklearn_impute import convert_imputer

        for part in _parts(model):
            if type(part).__name__ in _TEXT_VECTORIZERS:
                raise ExportFailed(
                    f"{type(part).__name__} cannot be written as {format}",
                    why="ONNX splits text by other rules than scikit-learn's text vectorizers",
                    fix="deploy it with --format native, or auto",
                )
        double = format == "onnx-float64"
        initial_types = _initial_types(model, x, signature, double=double)
        # "zipmap" would make dicts of the probabilities; only classifiers that give them know the option
        probable = self.task(model) == "classification" and "probabilities" in self.methods(model)
        opset = {"": skl2onnx.get_latest_tested_opset_version(), "ai.onnx.ml": 3}  # the newest that all converters know
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                adapted = adapt.with_trees_in_float32(model) if double else model
                adapted = adapt.without_flattening(adapt.with_missing_as_empty(adapted))
                # By the object, not by the option's name: for a name skl2onnx asks every tree of a forest for its own.
                options = {id(adapted): {"zipmap": False}} if probable else None
                data = skl2onnx.convert_sklearn(
                    adapted,
                    initial_types=initial_types,
                    options=options,
                    target_opset=opset,
                    custom_conversion_functions={SimpleImputer: convert_imputer} if double else None,
                ).SerializeToString()
        except Exception as error:  # a converter may raise anything; what it says goes into the candidates' table
            raise ExportFailed(
                f"{self.model_type(model)} cannot be written as {format}",
                why=f"skl2onnx: {first_words(error)}",
                fix="deploy it with --format native, or auto",
            ) from error
        path.write_bytes(data)


def _has(model: Any, method: str) -> bool:
    """Whether the method is there, its conditions asked: a pipeline has `predict_proba` if its last step has."""
    return callable(getattr(model, method, None))


def _has_several_targets(model: Any) -> bool:
    """A classifier of several targets answers `predict_proba` with a list: it is served by its predictions alone."""
    classes = getattr(model, "classes_", None)
    return isinstance(classes, list)


def _parts(model: Any) -> Iterator[Any]:
    yield model
    yield from model.get_params(deep=True).values()


def _initial_types(model: Any, x: Any, signature: Signature, *, double: bool) -> list[tuple[str, Any]]:
    """The inputs of the ONNX graph: one for each column where the model picks columns or they differ in kind."""
    from skl2onnx.common import data_types as types

    real = types.DoubleTensorType if double else types.FloatTensorType
    if hasattr(x, "columns") and hasattr(x, "iloc"):
        kinds = {str(name): _kind(x.dtypes.iloc[i]) for i, name in enumerate(x.columns)}
        if not _picks_columns(model) and set(kinds.values()) <= set("fib"):
            return [("inputs", real([None, len(kinds)]))]
        # Whole numbers and true or false as reals too: skl2onnx cannot put columns of two types side by side.
        return [(name, (types.StringTensorType if kind == "s" else real)([None, 1])) for name, kind in kinds.items()]
    import numpy as np

    rows = np.asarray(x)
    if rows.ndim != 2 or rows.dtype.kind not in "fiubUO":
        raise ExportFailed(
            f"an input of shape {rows.shape} and dtype {rows.dtype} is not exported",
            why="ONNX takes tables and 2-D arrays of numbers or text",
        )
    text = rows.dtype.kind in "UO"
    if text and any(column.dtype != "str" for column in signature.columns):
        raise ExportFailed("an array of mixed values is not exported", why="an ONNX input has one type")
    return [("inputs", (types.StringTensorType if text else real)([None, rows.shape[1]]))]


def _kind(dtype: Any) -> str:
    """A column's kind for ONNX: real, whole, true or false, text."""
    kind = getattr(dtype, "kind", "O")
    text = str(dtype) in ("str", "string", "object")
    if str(dtype) == "category":
        kind = dtype.categories.dtype.kind
        text = kind in "OUT" or str(dtype.categories.dtype) in ("str", "string")
    if text:
        return "s"
    found = {"f": "f", "i": "i", "u": "i", "b": "b"}.get(kind)
    if found is None or str(dtype)[:1].isupper():
        raise ExportFailed(f"a column of dtype {dtype} is not exported", why="ONNX has no such type")
    return found


def _picks_columns(model: Any) -> bool:
    return any(hasattr(part, "transformers") for part in _parts(model))


exporter = SklearnExporter()
