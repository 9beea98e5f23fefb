"""A really trained classifier, and versions of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lanes import WAIT_S, Bench, threads
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from versions import NAMES, X, Y, write_version

from autodeploy_magic import settings


@pytest.fixture(scope="session")
def classifier() -> Any:
    """Scaler and logistic regression on iris, with its species as labels."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, NAMES[Y])


@pytest.fixture(params=["onnx", "native"])
def version_folder(request: pytest.FixtureRequest, tmp_path: Path, classifier: Any) -> Path:
    """The classifier as a version, once for each runtime."""
    folder = tmp_path / "version"
    write_version(folder, classifier, X, format=request.param)
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Lanes, closed at the end: no thread of theirs may be left."""
    settings.reset()
    bench = Bench(tmp_path)
    yield bench
    for lane in bench.lanes:
        lane.close()
    for thread in threads():
        thread.join(WAIT_S)
    settings.reset()
    assert threads() == []
