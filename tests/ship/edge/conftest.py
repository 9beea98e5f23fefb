"""Every model of `edging`, shipped once."""

from __future__ import annotations

from pathlib import Path

import pytest
from edging import MODELS, make, ship


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each model NAME, the version as NAME.version and the shipped folder as NAME."""
    root = tmp_path_factory.mktemp("edge")
    for name in MODELS:
        ship(make(name, root / f"{name}.version"), root / name)
    return root
