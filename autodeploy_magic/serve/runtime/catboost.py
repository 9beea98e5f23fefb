"""CatBoost's own file, which knows all of the model but its class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.serve.runtime.live import LiveRunner

__all__ = ["CatBoostRunner"]

FEW_ROWS = 512
"""Fewer are answered in one thread: a second gains at most a tenth, for 1.7 times the processor (500 trees: 1 row 0.11
ms in one and 0.15 in two, 256 rows 0.36 and 0.32, 569 rows 0.56 and 0.46)."""


class CatBoostRunner(LiveRunner):
    """A model of CatBoost's, which has a pool of threads of its own."""

    def __init__(self, path: Path, version: Version, *, threads: int | None) -> None:
        super().__init__(path, version, threads=threads)
        self._threads = -1 if threads is None else threads

    def load(self, path: Path, version: Version) -> Any:
        import catboost

        known = json.loads((path / "wrapper.json").read_bytes())
        return getattr(catboost, known["class"])().load_model(str(path / "model.cbm"))

    def call(self, method: str, x: Any) -> Any:
        return getattr(self.model, method)(x, thread_count=1 if len(x) < FEW_ROWS else self._threads)
