"""A champion of scikit-learn's as a re-tune sees it, made without a build; and the rows that there are beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from autodeploy_magic.build.export import exporter_of
from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Environment, Signature, Trust, Version, encode
from autodeploy_magic.operate.retune.base import Given, Holdings, Made, Optimiser
from autodeploy_magic.operate.retune.champion import Champion
from autodeploy_magic.operate.retune.rows import Rows
from autodeploy_magic.wire import describe, to_plain, to_request


def champion_of(
    folder: Path, model: Any, sample: Any, code: Mapping[str, Callable[..., Any]] | None = None
) -> Champion:
    """The champion that `model` would be, served as its own pickle."""
    folder.mkdir(parents=True, exist_ok=True)
    exporter = exporter_of(model)
    assert exporter is not None
    answers = {name: getattr(model, method)(sample) for name, method in exporter.methods(model).items()}
    version = Version(
        deployment="demo",
        number=1,
        digest="0" * 64,
        created_at="2026-01-01T00:00:00+00:00",
        task=exporter.task(model),
        framework=exporter.name,
        model_type=exporter.model_type(model),
        format="native",
        reason="",
        trust=Trust(level="amber", reason=""),
        signature=read_sample(sample).signature,
        outputs=tuple(describe(name, value, len(sample)) for name, value in answers.items()),
        artifacts=(),
        environment=Environment(python="3.11", platform="linux"),
        candidates=(),
        sample_rows=len(sample),
        live_format="native",
    )
    (folder / "version.json").write_bytes(encode(version))
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    if code:
        (folder / "code.pkl").write_bytes(cloudpickle.dumps(dict(code)))
    return Champion.at(folder, folder, version)


def rows_of(signature: Signature, x: Any, labels: Any = None) -> Rows:
    """Rows as requests had them, with their labels as JSON values."""
    told = () if labels is None else tuple(to_plain(np.asarray(labels)))
    return Rows(signature, to_request(x), len(x), told, tuple(float(i + 1) for i in range(len(x))))


def holdings_of(champion: Champion, calibration: Any, training: Any = None, labels: Any = None) -> Holdings:
    """Rows without labels, and labelled ones where there are any."""
    signature = champion.version.signature
    labelled = calibration[:0] if training is None else training
    return Holdings(
        rows_of(signature, labelled, None if training is None else labels),
        rows_of(signature, calibration),
        0,
        champion.version.task,
    )


def made_of(optimiser: Optimiser, champion: Champion, holdings: Holdings, offer: int = 0) -> Made:
    """What an optimiser makes of its offer with that number."""
    settings = optimiser.offers(champion, holdings)[offer].settings
    return optimiser.make(champion, Given(holdings, settings, champion.folder / "made", seed=3))
