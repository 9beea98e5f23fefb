"""Keras' own file, with the classes of the notebook beside it where the model has some."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.errors import StartFailed
from autodeploy_magic.registry import need
from autodeploy_magic.serve.runtime.live import LiveRunner
from autodeploy_magic.serve.runtime.native import unpickle
from autodeploy_magic.serve.runtime.tensorflow import Compiled, prepare
from autodeploy_magic.wire.networks import ask_keras

__all__ = ["KerasRunner"]


class KerasRunner(LiveRunner):
    """Any Keras model, on the backend that it had in the notebook."""

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        self._threads = threads
        self._names = [output.name for output in version.model_outputs or version.outputs]
        self._compiled: Compiled | None = None
        super().__init__(path, version, threads=threads)

    def load(self, path: Path, version: Version) -> Any:
        """The model in `path`: model.keras, what it was made with in about.json, and custom.pkl where it needs that."""
        about = json.loads((path / "about.json").read_bytes())
        backend = str(about["backend"])
        _choose(backend)
        if backend == "tensorflow":
            prepare(self._threads)
        keras = need("keras", "running this model")
        custom = unpickle(path / "custom.pkl") if (path / "custom.pkl").is_file() else {}
        if keras.backend.backend() != backend:
            raise StartFailed(
                f"Keras runs on {keras.backend.backend()} in this process, and the model was made on {backend}",
                why="a process has one backend, the first that it was told",
                fix="unset KERAS_BACKEND where the supervisor was started, or restart the deployment",
            )
        for thing in custom.values():
            _make_revivable(thing)
        model = keras.saving.load_model(path / "model.keras", custom_objects=custom, compile=False, safe_mode=True)
        if backend == "tensorflow":
            self._compiled = Compiled(lambda inputs: model(inputs, training=False))
        return model

    def answers(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        found = ask_keras(self.model, x, compiled=self._compiled)
        by_name = dict(zip(self._names, (value for _, value in found), strict=True))
        return {name: by_name[name] for name in names}


def _choose(backend: str) -> None:
    """Let Keras be imported with the backend; what it was imported with before cannot be changed."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend


def _make_revivable(thing: Any) -> None:
    """Let a class be made again from what Keras wrote down of it, where its __init__ takes less than that.

    Keras adds what every layer has (name, dtype, trainable); a class of a notebook seldom passes that on.
    """
    if not isinstance(thing, type) or not hasattr(thing, "from_config"):
        return
    parameters = inspect.signature(thing).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    taken = {parameter.name for parameter in parameters}
    whole = thing.from_config

    def from_config(cls: Any, config: dict[str, Any], *arguments: Any) -> Any:
        del cls
        return whole({key: value for key, value in config.items() if key in taken}, *arguments)

    thing.from_config = classmethod(from_config)
