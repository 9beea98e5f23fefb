"""The live object itself, pickled by the person's own kernel. Loading it runs its code: versions of it are amber."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version

__all__ = ["NativeRunner", "unpickle"]


def unpickle(path: Path) -> Any:
    """Load a file that this person's own kernel pickled, its hash checked by the caller: the only place that does.

    Nothing that came over a wire is ever given to it.
    """
    with path.open("rb") as stream:
        return pickle.load(stream)  # noqa: S301 - the one loader: the file is this person's own and has its hash


class NativeRunner:
    """Calls the methods that the live object answered the sample with."""

    needs_container = True

    def __init__(self, path: Path, version: Version, *, threads: int) -> None:
        del threads  # the model's own library decides
        self.model: Any = unpickle(path)
        self._methods = {output.name: output.method for output in version.model_outputs or version.outputs}

    def run(self, x: Any, names: Sequence[str]) -> dict[str, Any]:
        """Answer `x`, in the container of the sample or as a preprocess returned it, with the outputs `names`."""
        return {name: self._call(self._methods[name], x) for name in names}

    def _call(self, method: str, x: Any) -> Any:
        return self.model(x) if method in ("", "__call__") else getattr(self.model, method)(x)
