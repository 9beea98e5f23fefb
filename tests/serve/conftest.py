"""A really trained classifier, and versions of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from versions import NAMES, X, Y, write_version


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
