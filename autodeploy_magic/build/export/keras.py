"""Keras 3 models, on any of its backends: ONNX, Keras' own file, and a SavedModel where neither can be had.

Predictions are what the network gives: a softmax's are probabilities, not labels, and are compared as numbers.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import Exporter, first_words, loaded
from autodeploy_magic.contracts import Signature
from autodeploy_magic.errors import BadSample, ExportFailed, UnfittedModel

__all__ = ["KerasExporter", "exporter"]

_REGRESSION = ("mse", "mae", "mape", "msle", "mean_", "huber", "log_cosh", "logcosh", "poisson", "tweedie")


class KerasExporter(Exporter):
    """`keras.Model` and what derives from it: Sequential, functional, subclassed. Layers alone are none."""

    name = "keras"
    formats = ("keras", "onnx", "saved_model")
    fallback = ("saved_model",)
    packages = ("keras",)

    def recognises(self, model: Any) -> bool:
        kind = getattr(loaded("keras"), "Model", None)
        return isinstance(kind, type) and isinstance(model, kind)

    def check_fitted(self, model: Any, name: str) -> None:
        if not model.built:
            raise UnfittedModel(
                f"{name} ({self.model_type(model)}) has never been built: it has no weights yet",
                why="Keras makes the weights once it knows the shape of the input",
                fix="call its fit(…), or begin it with keras.Input(shape) and load its weights",
            )

    def task(self, model: Any) -> str:
        loss = getattr(model, "loss", None)
        text = str(getattr(loss, "name", None) or getattr(loss, "__name__", None) or loss).lower()
        return "regression" if isinstance(loss, list | dict) is False and text.startswith(_REGRESSION) else "function"

    def methods(self, model: Any) -> dict[str, str]:
        from autodeploy_magic.wire.networks import network_leaves

        several = len(getattr(model, "outputs", None) or ()) > 1
        others = [name for name, _ in network_leaves(model.output)[1:]] if several else []
        return dict.fromkeys(["predictions", *others], "predict")

    def live(self, model: Any, x: Any) -> dict[str, Any]:
        from autodeploy_magic.wire.networks import ask_keras, keras_inputs

        given = getattr(model, "inputs", None) or ()
        if len(given) > 1 and not isinstance(keras_inputs(model, x), dict):
            names = [str(item.name) for item in given]
            raise BadSample(
                f"the model has {len(given)} inputs ({', '.join(names)}) and the sample is one",
                why="the inputs of a request go by their names",
                fix=f"give a dict: sample={{{', '.join(f'{name!r}: …' for name in names)}}}",
            )
        return dict(ask_keras(model, x))

    def parts(self, model: Any) -> list[Any]:
        from autodeploy_magic.build.export.keras_custom import layers_of

        return list(layers_of(model))

    def formats_for(self, model: Any) -> tuple[str, ...]:
        from autodeploy_magic.wire.networks import answers_by_itself

        if answers_by_itself(model):
            return ("keras",)  # whatever its own predict does besides, a graph of the network would not have it
        return self.formats if _backend() == "tensorflow" else ("keras", "onnx")

    def write(self, model: Any, format: str, path: Path, x: Any, signature: Signature) -> None:
        if format == "keras":
            from autodeploy_magic.build.export.keras_archive import write_archive

            write_archive(model, path)
        elif _backend() != "tensorflow":
            self._write_elsewhere(model, path)
        else:
            self._write_graph(model, format, path, x)

    def _write_graph(self, model: Any, format: str, path: Path, x: Any) -> None:
        from autodeploy_magic.build.export.tensorflow_flat import flat, write_onnx, write_saved_model
        from autodeploy_magic.wire.networks import keras_inputs

        inputs = keras_inputs(model, x)
        given = getattr(model, "inputs", None) or ()
        named = isinstance(inputs, dict)
        whole = getattr(model, "input", None)
        items = whole.items() if isinstance(whole, dict) else [(item.name, item) for item in given]
        known = {str(name) if named else "": (item.shape, item.dtype) for name, item in items}
        if not given:  # as a layer casts what it is given
            arrays = inputs if named else {"": inputs}
            known = {k: (a.shape, model.input_dtype if a.dtype.kind == "f" else a.dtype) for k, a in arrays.items()}
        function = flat(lambda tensors: model(tensors, training=False), inputs, known)
        if format == "onnx":
            write_onnx(function, path, self.model_type(model))
        else:
            write_saved_model(function, model, path, self.model_type(model), keras=True)

    def _write_elsewhere(self, model: Any, path: Path) -> None:
        from autodeploy_magic.build.export.tensorflow_quiet import quietly

        try:
            with quietly():
                model.export(path, format="onnx", verbose=False)
        except Exception as error:  # a converter may raise anything; what it says goes into the candidates' table
            raise ExportFailed(
                f"{self.model_type(model)} cannot be written as onnx",
                why=f"keras on {_backend()}: {first_words(error)}",
                fix="deploy it with --format native, or auto",
            ) from error

    def fingerprint(self, model: Any) -> str:
        from autodeploy_magic.build.export.keras_archive import digest_of

        return digest_of(model)

    def modules(self, model: Any) -> frozenset[str]:
        own = frozenset({type(model).__module__} - {"__main__"})
        custom = _custom(model)
        if custom is not None and custom.objects:
            with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder, contextlib.suppress(ExportFailed):
                own |= custom.dump(Path(folder) / "custom.pkl").modules
        return own | {"keras", _backend()}

    def opaque(self, model: Any, format: str) -> str:
        custom = _custom(model) if format == "keras" else None
        if custom is None or not custom.objects:
            return super().opaque(model, format)
        return f"a .keras file with code of its own pickled beside it ({custom.words}): loading it runs that code"


def _custom(model: Any) -> Any:
    """What the model's own file does not hold; None where Keras cannot say what it is made of."""
    import keras

    from autodeploy_magic.build.export.keras_custom import find_custom

    try:
        with warnings.catch_warnings(action="ignore"):  # of lambdas, which are dealt with
            return find_custom(model, keras.saving.serialize_keras_object(model))
    except Exception:  # noqa: BLE001  # a layer's own get_config may raise anything; writing the file says what
        return None


def _backend() -> str:
    import keras

    return str(keras.backend.backend())


exporter = KerasExporter()
