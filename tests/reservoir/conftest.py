"""The file of a deployment's requests."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from recordings import Record, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.sqlite"


@pytest.fixture
def record(path: Path) -> Record:
    return partial(write, path)
