"""One repository whose version was built, replayed and scanned for real; tests change copies of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from piped import TRAIN, Piped, Prometheus, write
from sklearn.linear_model import LogisticRegression
from versions import X, Y

from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import connect


@pytest.fixture(scope="package")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is kept of a version that was proved: its rows, and what it answered."""
    folder = tmp_path_factory.mktemp("record")
    answers = LogisticRegression(max_iter=500).fit(X, Y).predict(X).tolist()
    (folder / "sample.json").write_bytes(msgspec.json.encode({"inputs": X.tolist()}))
    (folder / "answers.json").write_bytes(msgspec.json.encode({"predictions": answers}))
    return folder


@pytest.fixture(scope="package")
def proved(tmp_path_factory: pytest.TempPathFactory, record: Path) -> Iterator[Piped]:
    """It was built, replayed, scanned and pushed; its deployment runs."""
    folder = write(tmp_path_factory.mktemp("piped") / "repository", record, system="github")
    (folder / "train.py").write_text(TRAIN)
    piped = Piped(folder, tmp_path_factory.mktemp("home"))
    piped.settings(ENGINE="podman", SIGNING="key", BAKE_S="0.5", WATCH_EVERY_S="0.1")
    piped.commit()
    try:
        for step in ("build", "parity", "scan", "image"):
            done = piped.run(f"ci/{step}.sh")
            (piped.state / f"{step}.txt").write_text(done.stdout + done.stderr)
            assert done.returncode == 0, done.stdout + done.stderr
        yield piped
    finally:
        connect(Store(piped.home)).shutdown(stop_deployments=True)


@pytest.fixture
def piped(proved: Piped, tmp_path: Path) -> Piped:
    """A copy of it, with stand-ins that were asked nothing."""
    return proved.copy(tmp_path / "repository")


@pytest.fixture
def prometheus() -> Iterator[Callable[[Any], Prometheus]]:
    """Makes servers that answer as Prometheus does."""
    made: list[Prometheus] = []

    def make(value: Any) -> Prometheus:
        made.append(Prometheus(value))
        return made[-1]

    yield make
    for each in made:
        each.end()
