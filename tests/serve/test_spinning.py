"""Whether a run's threads spin while they wait: as the setting says, and not by default."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from versions import NAMES, X, Y, write_version

from autodeploy_magic import settings
from autodeploy_magic.serve.runtime.providers import session


@pytest.mark.parametrize(("chosen", "told"), [(None, "0"), (True, "1"), (False, "0")])
def test_threads_spin_where_that_is_chosen_alone(tmp_path: Path, chosen: bool | None, told: str) -> None:
    write_version(tmp_path, LogisticRegression(max_iter=500).fit(X, NAMES[Y]), X)
    settings.reset()
    try:
        if chosen is not None:
            settings.set_option("spinning", chosen)
        found, _ = session(tmp_path / "model.onnx", "", 2)
    finally:
        settings.reset()
    assert found.get_session_options().get_session_config_entry("session.intra_op.allow_spinning") == told


def test_a_deployment_keeps_it_and_its_workers_are_given_it() -> None:
    assert settings.KNOBS["spinning"].travels
    assert settings.of_workers({"spinning": True}) == {"spinning": True}
