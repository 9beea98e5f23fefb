"""TensorFlow without Keras: modules, functions, and SavedModels that were loaded: ONNX, or a SavedModel again."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import Exporter, loaded
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadInput, BadSample

__all__ = ["TensorFlowExporter", "exporter"]


class TensorFlowExporter(Exporter):
    """A `tf.Module` that can be called, a `tf.function`, what `tf.saved_model.load` gives."""

    name = "tensorflow"
    formats = ("saved_model", "onnx")
    packages = ("tensorflow",)

    def __init__(self) -> None:
        self._fed: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        """The inputs that a model answered last: only with some can its graph, and the graph's digest, be had."""

    def recognises(self, model: Any) -> bool:
        tensorflow = loaded("tensorflow")
        if not hasattr(tensorflow, "Module") or isinstance(model, type) or type(model).__module__.startswith("keras."):
            return False
        if isinstance(model, tensorflow.Module) or _is_function(model):
            return True
        return isinstance(model, tensorflow.__internal__.tracking.AutoTrackable) and hasattr(model, "signatures")

    def check_fitted(self, model: Any, name: str) -> None:
        if _signature_of(model) is None and not callable(model):
            raise BadInput(
                f"{name} ({self.model_type(model)}) cannot be called",
                why="it has neither a __call__ nor a serving signature",
                fix="give its class a __call__(self, x), or save it with signatures=…",
            )

    def model_type(self, model: Any) -> str:
        if _is_function(model):
            return str(getattr(model, "__name__", None) or "tf.function")
        return "SavedModel" if type(model).__name__ == "_UserObject" else type(model).__name__

    def methods(self, model: Any) -> dict[str, str]:
        return {"predictions": "__call__"}

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        from autodeploy_magic.wire.networks import network_answers

        inputs = _inputs(model, x)
        found = _call_of(model)(_tensors(inputs))
        self._fed[model] = inputs
        return dict(network_answers(found))

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        from autodeploy_magic.build.export.tensorflow_flat import flat, write_onnx, write_saved_model

        whole = flat(_call_of(model), _inputs(model, x))
        if format == "onnx":
            write_onnx(whole, path, self.model_type(model))
        else:
            write_saved_model(whole, model, path, self.model_type(model), keras=False)

    def fingerprint(self, model: Any) -> str:
        from autodeploy_magic.build.export.tensorflow_flat import flat, graph_digest

        return graph_digest(flat(_call_of(model), self._fed[model])) if model in self._fed else ""

    def modules(self, model: Any) -> frozenset[str]:
        return frozenset({"tensorflow"})  # the graph is all that travels


def _is_function(model: Any) -> bool:
    kinds = loaded("tensorflow").types.experimental
    return isinstance(model, kinds.GenericFunction | getattr(kinds, "ConcreteFunction", kinds.GenericFunction))


def _signature_of(model: Any) -> Any:
    """What a loaded SavedModel serves with: "serving_default", or the only one; None for other things."""
    signatures = getattr(model, "signatures", None)
    if not hasattr(signatures, "keys") or not signatures:
        return None
    return signatures["serving_default"] if "serving_default" in signatures else next(iter(signatures.values()))


def _specs(model: Any) -> dict[str, Any]:
    """The specs of the inputs that a model was declared with, by name; {} where it takes what comes."""
    serving = _signature_of(model)
    if serving is not None:
        return dict(serving.structured_input_signature[1])
    function: Any = model if _is_function(model) else vars(type(model)).get("__call__")
    declared = getattr(function, "input_signature", None)
    if declared is None and hasattr(function, "structured_input_signature"):
        declared = function.structured_input_signature[0]
    return {str(getattr(spec, "name", None) or i): spec for i, spec in enumerate(declared or ())}


def _inputs(model: Any, x: Any) -> Any:
    """The arrays for the rows `x`, in the dtypes that the model was declared with, or that its variables have."""
    import numpy as np

    from autodeploy_magic.wire.networks import network_inputs

    specs = _specs(model)
    inputs = network_inputs(x, several=len(specs) > 1 if specs else None)
    if len(specs) > 1 and (not isinstance(inputs, dict) or not specs.keys() <= inputs.keys()):
        raise BadSample(
            f"the model has {len(specs)} inputs: {', '.join(specs)}",
            why="the inputs of a request go by their names",
            fix=f"give a dict: sample={{{', '.join(f'{name!r}: …' for name in specs)}}}",
        )
    floats = {v.dtype.as_numpy_dtype for v in getattr(model, "variables", ()) or () if v.dtype.is_floating}
    only = next(iter(floats)) if len(floats) == 1 else None

    def cast(array: Any, spec: Any) -> Any:
        kind = np.dtype(array.dtype).kind
        wanted = spec.dtype.as_numpy_dtype if spec is not None else only if kind == "f" else None
        return array.astype(wanted) if wanted is not None and kind in "fiub" else array

    if isinstance(inputs, dict):
        return {name: cast(inputs[name], specs.get(name)) for name in specs or inputs}
    return cast(inputs, next(iter(specs.values()), None))


def _tensors(inputs: Any) -> Any:
    import tensorflow as tf

    if isinstance(inputs, dict):
        return {name: tf.convert_to_tensor(array) for name, array in inputs.items()}
    return tf.convert_to_tensor(inputs)


def _call_of(model: Any) -> Callable[[Any], Any]:
    """The model as a function of a tensor, or of a dict of tensors."""
    function = _signature_of(model)
    if function is not None:
        names = list(function.structured_input_signature[1])

        def serve(tensors: Any) -> Any:
            answer = function(**tensors if isinstance(tensors, dict) else {names[0]: tensors})
            return dict(sorted(answer.items()))  # a loaded signature has them in another order in each process

        return serve
    specs = _specs(model)
    if len(specs) > 1:
        return lambda tensors: model(*(tensors[name] for name in specs))
    call: Callable[[Any], Any] = model
    return call


exporter = TensorFlowExporter()
