"""scikit-learn estimators and pipelines: ONNX through skl2onnx, and the live object as skops or as a pickle.

ONNX computes in float32, which moves a split by a rounding error now and then: a tree after a float32 scaler can land
in another leaf. "onnx-float64" computes in doubles as scikit-learn does, for the models whose operators onnxruntime has
in doubles; verification decides which may serve.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from autodeploy_magic.build.export.base import Exporter, first_words
from autodeploy_magic.build.export.boosters import teach_skl2onnx
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadInput, ExportFailed, MissingPackage, UnfittedModel
from autodeploy_magic.registry import need
from autodeploy_magic.wire.libraries import from_library

__all__ = ["SklearnExporter", "exporter"]

_TEXT_VECTORIZERS = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
"""ONNX splits text by another rule than Python's `re`, and by the machine's locale: measured 4e-3 off, or a crash."""


_MOST_QUANTILES = 100
"""Quantiles of a QuantileTransformer, over all columns: skl2onnx takes a second for so many, and 40 for 600."""


class SklearnExporter(Exporter):
    """Anything that derives from `sklearn.base.BaseEstimator`, or has what one has: other libraries' and the person's
    own estimators included.
    """

    name = "sklearn"
    formats = ("skops", "native", "onnx")
    exact: ClassVar[Mapping[str, str]] = {"onnx": "onnx-float64"}
    fallback = ("native",)

    def recognises(self, model: Any) -> bool:
        base = sys.modules.get("sklearn.base")
        if base is None or isinstance(model, type):
            return False
        if isinstance(model, base.BaseEstimator):
            return True
        kind = type(model)
        return all(hasattr(kind, name) for name in ("fit", "get_params")) and (
            hasattr(kind, "predict") or hasattr(kind, "transform")
        )

    def check_fitted(self, model: Any, name: str) -> None:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            if _is_of_sklearn(model):  # others may keep what they learned under any name
                check_is_fitted(model)
        except NotFittedError as error:
            raise _unfitted(model, name) from error
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
        found = _TASKS.get(_estimator_type(model))
        if found in ("classification", "regression", "outliers"):
            return found
        if not _has(model, "predict"):
            return "transform"
        return found or super().task(model)

    def methods(self, model: Any) -> dict[str, str]:
        if not _has(model, "predict"):
            return {"predictions": "transform"} if _has(model, "transform") else {}
        found = {"predictions": "predict"}
        if _has(model, "predict_proba") and _has_one_array(model):
            found["probabilities"] = "predict_proba"
        elif self.task(model) == "outliers" and _has(model, "decision_function"):
            found["scores"] = "decision_function"
        return found

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        from sklearn.exceptions import NotFittedError

        try:
            return super().live(model, x)
        except NotFittedError as error:
            raise _unfitted(model, "the model") from error

    def known_values(self, model: Any) -> dict[str, tuple[str, ...]]:
        from autodeploy_magic.build.export.sklearn_known import known_values

        return known_values(model)

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        if format == "skops":
            from autodeploy_magic.build.export.sklearn_skops import write_skops

            write_skops(model, path)
            return
        try:
            skl2onnx = need("skl2onnx", "writing a scikit-learn model as ONNX")
        except MissingPackage as error:
            raise ExportFailed(error.what, why=f"{error.what}: {error.fix}", fix=error.fix) from error
        from sklearn.impute import SimpleImputer

        from autodeploy_magic.build.export import sklearn_adapt as adapt
        from autodeploy_magic.build.export.sklearn_impute import convert_imputer
        from autodeploy_magic.build.export.sklearn_threshold import beneath

        model, decision = beneath(adapt.unwrapped(model))
        model = adapt.unwrapped(model)
        _refuse_parts(model, format)
        teach_skl2onnx(_parts(model))
        double = format == "onnx-float64"
        initial_types = _initial_types(model, from_library(x), signature, double=double)
        # "zipmap" would make dicts of the probabilities; only classifiers that give them know the option
        probable = self.task(model) == "classification" and "probabilities" in self.methods(model)
        opset = {"": skl2onnx.get_latest_tested_opset_version(), "ai.onnx.ml": 3}  # the newest that all converters know
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                adapted = adapt.with_trees_in_float32(model) if double else model
                adapted = adapt.with_missing_as_empty(adapted, none=signature.library == "polars")
                adapted = adapt.without_flattening(adapted)
                # By the object, not by the option's name: for a name skl2onnx asks every tree of a forest for its own.
                options = {id(adapted): {"zipmap": False}} if probable else None
                found = skl2onnx.convert_sklearn(
                    adapted,
                    initial_types=initial_types,
                    options=options,
                    target_opset=opset,
                    custom_conversion_functions={SimpleImputer: convert_imputer} if double else None,
                )
                found = adapt.as_named(found, [name for name, _ in initial_types])
                found = adapt.by_target(found, model) if probable else found
                data = (decision.put_into(found) if decision is not None else found).SerializeToString()
        except Exception as error:  # a converter may raise anything; what it says goes into the candidates' table
            raise ExportFailed(
                f"{self.model_type(model)} cannot be written as {format}",
                why=_why_not(error),
                fix="deploy it with --format native, or auto",
            ) from error
        path.write_bytes(data)


def _has(model: Any, method: str) -> bool:
    """Whether the method is there, its conditions asked: a pipeline has `predict_proba` if its last step has."""
    return callable(getattr(model, method, None))


def _has_one_array(model: Any) -> bool:
    """Whether its probabilities are one array: a classifier of several targets answers with a list of one for each, and
    is served by its predictions alone where these have other numbers of classes.
    """
    classes = getattr(model, "classes_", None)
    return not isinstance(classes, list) or len({len(of_one) for of_one in classes}) == 1


def _is_of_sklearn(model: Any) -> bool:
    """Whether it is fitted by scikit-learn's own code, which leaves a name with a trailing underscore."""
    fits = next((kind for kind in type(model).__mro__ if "fit" in vars(kind)), type(model))
    return fits.__module__.startswith("sklearn.")


_TASKS = {
    "classifier": "classification",
    "regressor": "regression",
    "outlier_detector": "outliers",
    "clusterer": "clustering",
    "density_estimator": "clustering",
}


def _estimator_type(model: Any) -> str:
    """What kind it says it is; "" for one that says nothing, or does not know how scikit-learn asks."""
    from sklearn.utils import get_tags

    try:
        return str(get_tags(model).estimator_type or "")
    except (AttributeError, TypeError, ValueError):
        return str(getattr(model, "_estimator_type", None) or "")


def _unfitted(model: Any, name: str) -> UnfittedModel:
    return UnfittedModel(
        f"{name} ({type(model).__name__}) has not been fitted",
        why="a model answers only once it has been fitted",
        fix=f"call {name.removeprefix('the ')}.fit(…) first",
    )


def _parts(model: Any) -> Iterator[Any]:
    """The model and what it is made of: the steps of a pipeline, fitted, and what else it was told."""
    yield model
    try:
        yield from model.get_params(deep=True).values()
    except Exception:  # noqa: BLE001  # an estimator of the person's own; its converter is looked for all the same
        return
    for _, step, _ in getattr(model, "transformers_", ()):
        yield from _parts(step) if hasattr(step, "get_params") else ()


def _refuse_parts(model: Any, format: str) -> None:
    """Raise `ExportFailed` for a step that skl2onnx takes, and should not."""
    for part in _parts(model):
        why = ""
        if type(part).__name__ in _TEXT_VECTORIZERS:
            why = "ONNX splits text by other rules than scikit-learn's text vectorizers"
        elif getattr(getattr(part, "quantiles_", None), "size", 0) > _MOST_QUANTILES:
            why = f"skl2onnx takes minutes for the {part.quantiles_.size} quantiles of a QuantileTransformer"
        if why:
            raise ExportFailed(
                f"{type(part).__name__} cannot be written as {format}",
                why=why,
                fix="deploy it with --format native, or auto",
            )


def _why_not(error: Exception) -> str:
    """What skl2onnx says, for a person: the class that it has no converter for, or its own words."""
    missing = _NO_CONVERTER.search(str(error)) if type(error).__name__.startswith("Missing") else None
    return f"skl2onnx has no converter for {missing[1]}" if missing else f"skl2onnx: {first_words(error)}"


_NO_CONVERTER = re.compile(r"<class '(?:[^']*\.)?(\w+)'>")


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

    if any(-1 in column.shape for column in signature.columns):
        raise ExportFailed("rows of different lengths are not exported", why="an ONNX input has rows of one length")
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
    text = str(dtype).startswith(("str", "string", "object"))
    if str(dtype) == "category":
        kind = dtype.categories.dtype.kind
        text = kind in "OUT" or str(dtype.categories.dtype) in ("str", "string")
    if text:
        return "s"
    found = {"f": "f", "i": "i", "u": "i", "b": "b"}.get(kind)
    if found is None:
        raise ExportFailed(f"a column of dtype {dtype} is not exported", why="ONNX has no such type")
    return found


def _picks_columns(model: Any) -> bool:
    return any(hasattr(part, "transformers") for part in _parts(model))


exporter = SklearnExporter()
