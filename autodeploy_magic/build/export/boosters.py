"""What XGBoost, LightGBM and CatBoost have in common: their own files are data, and their trees become ONNX.

    a model of the library  ──▶  its own file, and wrapper.json: what its scikit-learn wrapper knows besides
                            ──▶  ONNX, through a twin of it that the converters understand

A wrapper that holds what no file of data can (an objective of the person's own in Python, a class of the notebook) is
kept as a pickle, and the reason stands in the table of candidates.
"""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from autodeploy_magic.build.export.base import Exporter, first_words
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import AutodeployError, BrokenPackage, ExportFailed, MissingPackage, UnfittedModel
from autodeploy_magic.registry import EXPORTERS, load, need

__all__ = [
    "BoosterExporter",
    "NotPlain",
    "Part",
    "class_name",
    "from_skl2onnx",
    "only",
    "plain",
    "register",
    "teach_skl2onnx",
]

Part = Literal["labels", "probabilities", "positive", "values"]
"""What an output of a model of trees is; "positive" is the probability of the second of two classes."""

_NAMES = ("catboost", "lightgbm", "xgboost")
_FEATURE = "writing boosted trees as ONNX"


class NotPlain(Exception):
    """Something in a model that JSON cannot say."""


class BoosterExporter(Exporter):
    """A library of boosted trees: what is said here holds for all three."""

    fallback: ClassVar[tuple[str, ...]] = ("native",)

    def is_native(self, model: Any) -> bool:
        """Whether it is the library's own object, and no wrapper of scikit-learn's kind."""
        raise NotImplementedError

    def is_fitted(self, model: Any) -> bool:
        """Whether it holds trees."""
        raise NotImplementedError

    def state(self, model: Any) -> dict[str, Any]:
        """What wrapper.json says: all that a worker needs besides the library's own file. Raises `NotPlain`."""
        raise NotImplementedError

    def content(self, model: Any) -> bytes:
        """The library's own file, the same bytes for models that answer alike."""
        raise NotImplementedError

    def place(self, folder: Path) -> Path:
        """Where that file lies in the folder of the format."""
        raise NotImplementedError

    def onnx(self, model: Any, columns: int) -> Any:
        """The ONNX model of one matrix with so many columns; its outputs are those of `methods`, in their order."""
        raise NotImplementedError

    def teach(self) -> None:
        """Tell skl2onnx how the library's models are converted, for a pipeline that holds one."""
        raise NotImplementedError

    def check_fitted(self, model: Any, name: str) -> None:
        if not self.is_fitted(model):
            raise UnfittedModel(
                f"{name} ({type(model).__name__}) has not been fitted",
                why="it holds no trees",
                fix=f"train it first, with {self.name}.train(…)" if self.is_native(model) else f"call {name}.fit(…)",
            )

    def task(self, model: Any) -> str:
        return "classification" if callable(getattr(model, "predict_proba", None)) else "regression"

    def modules(self, model: Any) -> frozenset[str]:
        return frozenset(base.__module__ for base in type(model).__mro__ if base is not object)

    def fingerprint(self, model: Any) -> str:
        try:
            state = json.dumps(self.state(model), sort_keys=True)
        except NotPlain:
            return ""  # the digest of its pickle is
        return hashlib.sha256(state.encode() + self.content(model)).hexdigest()

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        del signature
        if format == self.name:
            self._write_own(model, path)
            return
        columns = _columns(x)
        what = f"{self.model_type(model)} cannot be written as {format}"
        fix = "deploy it with --format native, or auto"
        try:
            data = self.onnx(model, columns).SerializeToString(deterministic=True)
        except AutodeployError as error:  # what a converter is known not to do, or the one that is not installed
            raise ExportFailed(what, why=_all_words(error), fix=fix) from error
        except Exception as error:  # a converter may raise anything; what it says goes into the candidates' table
            raise ExportFailed(what, why=f"its converter: {first_words(error)}", fix=fix) from error
        path.write_bytes(data)

    def _write_own(self, model: Any, folder: Path) -> None:
        try:
            state = self.state(model)
        except NotPlain as error:
            raise ExportFailed(
                f"{self.model_type(model)} cannot be written as a file of {self.name}",
                why=f"{error}, which a file of {self.name} cannot hold",
                fix="deploy it with --format native, or auto",
            ) from error
        folder.mkdir()
        (folder / "wrapper.json").write_text(json.dumps(state, sort_keys=True, indent=1), "utf-8")
        self.place(folder).write_bytes(self.content(model))


def _all_words(error: AutodeployError) -> str:
    return ": ".join(words for words in (error.what, error.why, error.fix) if words)


# --- what a wrapper holds


def class_name(model: Any, library: Any) -> str:
    """The name of the model's class, which must be one of the library's. Raises `NotPlain` for what derives from it."""
    kind = type(model)
    if getattr(library, kind.__name__, None) is not kind:
        raise NotPlain(f"its class {kind.__name__} is the own one of {kind.__module__}")
    return str(kind.__name__)


def plain(attributes: Mapping[str, Any], *, without: frozenset[str]) -> dict[str, Any]:
    """Attributes as JSON values. Raises `NotPlain` naming the one that is none; those `without` are left out."""
    found = {}
    for name, value in attributes.items():
        if name not in without:
            try:
                found[name] = _plain(value)
            except NotPlain as error:
                raise NotPlain(f"its {name.strip('_')} is {error}") from None
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    if type(value).__module__ == "numpy" and value.dtype.kind in "biufU":
        return value.tolist()
    raise NotPlain("a Python function" if callable(value) else f"a {type(value).__name__}")


# --- ONNX


def teach_skl2onnx(parts: Iterable[Any]) -> None:
    """Tell skl2onnx about the boosters among a pipeline's `parts`. Raises `ExportFailed` without the converters."""
    for name in sorted({type(part).__module__.partition(".")[0] for part in parts} & set(_NAMES)):
        exporter: BoosterExporter = load(EXPORTERS[name])
        try:
            exporter.teach()
        except (MissingPackage, BrokenPackage) as error:
            raise ExportFailed(error.what, why=_all_words(error), fix=error.fix) from error


def register(kind: type, convert: Callable[[Any, Any, Any], None], parser: Any = None) -> None:
    """Have skl2onnx convert wrappers of the class `kind`, through a matrix of float32 whatever it is fed.

    So trees see the rounding of their own library, where the steps before them are computed in doubles.
    """
    skl2onnx, known = need("skl2onnx", _FEATURE), need("skl2onnx.common.data_types", _FEATURE)
    shapes = need("skl2onnx.common.shape_calculator", _FEATURE)
    classifies = hasattr(kind, "predict_proba")
    measure = (
        shapes.calculate_linear_classifier_output_shapes
        if classifies
        else shapes.calculate_linear_regressor_output_shapes
    )

    def sized(operator: Any) -> None:
        measure(operator)
        operator.outputs[-1].type = known.FloatTensorType(operator.outputs[-1].type.shape)

    def converted(scope: Any, operator: Any, container: Any) -> None:
        name = scope.get_unique_variable_name("float32")
        container.add_node("Cast", [operator.inputs[0].full_name], [name], op_version=13, to=1)  # to float32
        convert(scope, _Fed(operator, name), container)

    alias = f"autodeploy_{kind.__module__.partition('.')[0]}_{kind.__name__}"
    options = {"options": {"nocl": [True, False], "zipmap": [True, False, "columns"]}} if classifies else {}
    skl2onnx.update_registered_converter(kind, alias, sized, converted, parser=parser, **options)


class _Fed:
    """skl2onnx's operator with another input, and perhaps another model, than it has."""

    def __init__(self, operator: Any, name: str) -> None:
        self._operator = operator
        self.raw_operator = operator.raw_operator
        self.inputs = [types.SimpleNamespace(full_name=name)]
        self.input_full_names = [name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)


def from_skl2onnx(model: Any, columns: int, *, classifies: bool) -> Any:
    """A fitted wrapper, whose class skl2onnx has been taught, as an ONNX model of one float32 matrix."""
    skl2onnx, known = need("skl2onnx", _FEATURE), need("skl2onnx.common.data_types", _FEATURE)
    return skl2onnx.convert_sklearn(
        model,
        initial_types=[("inputs", known.FloatTensorType([None, columns]))],
        options={id(model): {"zipmap": False}} if classifies else None,  # else its probabilities would be dicts
        target_opset={"": skl2onnx.get_latest_tested_opset_version(), "ai.onnx.ml": 3},
    )


def only(model: Any, parts: Mapping[Part, Any], wanted: tuple[Part, ...]) -> Any:
    """The ONNX model with the outputs `wanted` and no others; `parts` are what its graph has by now."""
    onnx = need("onnx", _FEATURE)
    outputs = []
    for part in wanted:
        if part == "positive":
            name = "positive"
            model.graph.initializer.append(onnx.helper.make_tensor("second", onnx.TensorProto.INT64, [], [1]))
            source = [parts["probabilities"].name, "second"]
            model.graph.node.append(onnx.helper.make_node("Gather", source, [name], name="positive", axis=1))
            outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None]))
        else:
            outputs.append(parts[part])
    kept = [type(item).FromString(item.SerializeToString()) for item in outputs]  # they may lie in what is emptied
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model


def _columns(x: Any) -> int:
    """How many columns the trees are fed, which must be one matrix of numbers. Raises `ExportFailed` for all else."""
    if hasattr(x, "dtypes") and hasattr(x, "columns"):
        for name, dtype in zip(x.columns, x.dtypes, strict=True):
            if getattr(dtype, "kind", "O") not in "fiub" or str(dtype)[:1].isupper():
                raise ExportFailed(
                    "a column that is no number is not exported",
                    why=f"column {str(name)!r} is of dtype {dtype}, and the trees of an ONNX model take plain numbers",
                )
        return len(x.columns)
    import numpy as np

    rows = np.asarray(x)
    if rows.ndim != 2 or rows.dtype.kind not in "fiub":
        raise ExportFailed(
            "the input is not exported",
            why=f"it has shape {rows.shape} and dtype {rows.dtype}, and the trees of an ONNX model take a table of "
            "plain numbers",
        )
    return int(rows.shape[1])
