"""A live object out of a skops file, which is data: the types that it names are made, and no code is run from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.registry import need
from autodeploy_magic.serve.runtime.live import LiveRunner

__all__ = ["MODEL", "TYPES", "SkopsRunner"]

MODEL = "model.skops"
TYPES = "types.json"
"""Beside the model: the types in it that skops does not trust of its own accord, and that were looked at for us."""


class SkopsRunner(LiveRunner):
    """scikit-learn models whose types are all known."""

    def load(self, path: Path, version: Version) -> Any:
        skops = need("skops.io", "loading this version's model")
        types: list[str] = json.loads((path / TYPES).read_bytes())
        return skops.load(path / MODEL, trusted=types)
