"""Really trained models of every framework, and what must come of them: one file a framework, one list.

The contract (tests/build/export/test_contract.py) builds every case; those that are `served` also answer through HTTP
(tests/e2e/test_frameworks.py); `make matrix` times the ones with a `row`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Made", "cases"]


@dataclass(frozen=True)
class Made:
    """A fitted model with rows that it can answer, 256 at least where they cost nothing."""

    model: Any
    sample: Any
    labels: Any = None
    code: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A model to be. `make` trains it, the same each time, and imports its framework only then.

    `formats` are those that may be kept, whichever is faster on the machine; `onnx` says whether its export must pass
    parity (None: it may or may not be tried). `row` is its name in the matrix of the README.
    """

    name: str
    framework: str
    make: Callable[[], Made]
    formats: tuple[str, ...]
    task: str = "classification"
    onnx: bool | None = True
    served: bool = False
    row: str = ""


def cases() -> Iterator[Case]:
    """All of them, the files in alphabetical order."""
    for found in pkgutil.iter_modules(__path__, f"{__name__}."):
        yield from importlib.import_module(found.name).CASES
