"""The live object itself, pickled by the person's own kernel. Loading it runs its code: versions of it are amber."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.serve.runtime.live import LiveRunner

__all__ = ["NativeRunner", "unpickle"]


def unpickle(path: Path) -> Any:
    """Load a file that this person's own kernel pickled, its hash checked by the caller: the only place that does.

    Nothing that came over a wire is ever given to it.
    """
    with path.open("rb") as stream:
        return pickle.load(stream)  # noqa: S301 - the one loader: the file is this person's own and has its hash


class NativeRunner(LiveRunner):
    """Whatever can be pickled."""

    def load(self, path: Path, version: Version) -> Any:
        return unpickle(path)
