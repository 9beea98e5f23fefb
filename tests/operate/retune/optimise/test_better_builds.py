"""What was made better is built like what a kernel deploys: verified, as ONNX, with the signature that it had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bettering import champion_of, holdings_of, made_of
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.operate.retune.base import Optimiser
from autodeploy_magic.operate.retune.optimise.sklearn_calibrate import Calibrate
from autodeploy_magic.operate.retune.optimise.sklearn_threshold import Threshold
from autodeploy_magic.store import Store


def frauds(rows: int = 1500) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4))
    x = np.hstack([x, x + random.normal(0, 0.1, x.shape)])
    return x, np.where(x[:, 0] + x[:, 1] + random.normal(0, 1.2, rows) > 3.0, "fraud", "fine")


@pytest.mark.parametrize(
    ("optimiser", "last"),
    [
        (Calibrate(), GaussianNB()),
        (Threshold(), LogisticRegression()),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_it_is_served_as_onnx_and_answers_alike(tmp_path: Path, store: Store, optimiser: Optimiser, last: Any) -> None:
    x, y = frauds()
    model = make_pipeline(StandardScaler(), last).fit(x[:500], y[:500])
    champion = champion_of(tmp_path, model, x[:30])
    made = made_of(optimiser, champion, holdings_of(champion, x[500:], y[500:])).model
    runner, request = SubprocessRunner(), BuildRequest("demo", made, x[:30])
    version = build(request, store, runner, lambda progress: None, dry_run=True).version
    onnx = [one for one in version.candidates if one.format.startswith("onnx")]
    assert any(one.passed for one in onnx), [one.reason for one in onnx]
    assert version.signature == champion.version.signature
    assert version.outputs == champion.version.outputs
