"""TensorFlow's SavedModel: a graph with its weights, which needs none of the code that it was made by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.serve.runtime.live import LiveRunner
from autodeploy_magic.serve.runtime.tensorflow import prepare
from autodeploy_magic.wire.networks import network_answers, network_inputs

__all__ = ["SavedModelRunner"]


class SavedModelRunner(LiveRunner):
    """The signature that the build wrote: inputs x0, x1…, outputs o0, o1… in the order of the version's."""

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        self._threads = threads
        self._names = [output.name for output in version.model_outputs or version.outputs]
        super().__init__(path, version, threads=threads)

    def load(self, path: Path, version: Version) -> Any:
        tensorflow = prepare(self._threads)
        about = json.loads((path / "assets.extra" / "inputs.json").read_bytes())
        self._whole = tensorflow.saved_model.load(str(path))  # holds the variables of its functions
        self._answer = _Answer(tensorflow, self._whole.signatures["serving_default"], about["inputs"])
        model = getattr(self._whole, "model", None)
        return model if callable(model) and not about["keras"] else self._answer

    def answers(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        by_name = dict(zip(self._names, self._answer.arrays(x), strict=True))
        return {name: by_name[name] for name in names}


class _Answer:
    """The signature as a function of rows; it is called like the Keras model that it was."""

    def __init__(self, tensorflow: Any, function: Any, names: list[str]) -> None:
        self._tensorflow = tensorflow
        self._function = function
        self._names = names
        specs = function.structured_input_signature[1]
        self._specs = [specs[f"x{i}"] for i in range(len(specs))]

    def arrays(self, x: Any) -> list[Any]:
        inputs = network_inputs(x, several=bool(self._names))
        given = [inputs[name] for name in self._names] if self._names else [inputs]
        found = self._function(
            **{
                f"x{i}": self._tensor(array, spec)
                for i, (array, spec) in enumerate(zip(given, self._specs, strict=True))
            }
        )
        return [network_answers(found[f"o{i}"])[0][1] for i in range(len(found))]

    def _tensor(self, array: Any, spec: Any) -> Any:
        if array.ndim == 1 and spec.shape.rank == 2:
            array = array.reshape(-1, 1)
        if spec.dtype == self._tensorflow.string:
            return self._tensorflow.convert_to_tensor(array, spec.dtype)
        return self._tensorflow.cast(self._tensorflow.convert_to_tensor(array), spec.dtype)

    def __call__(self, x: Any, training: bool = False) -> Any:
        del training
        found = self.arrays(x)
        return found[0] if len(found) == 1 else found

    def predict(self, x: Any, verbose: Any = 0) -> Any:
        """What it says to `x`."""
        del verbose
        return self(x)
