"""A deployment whose workers are containers of its own image: the same port, the same swaps, the same record."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from load import Load
from versions import NAMES, X, Y
from world import World, until
from yards import BASE, Engines, engines

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.metrics import recent
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor
from autodeploy_magic.supervisor.workers.containers import runner

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture
def yard() -> Iterator[Engines]:
    with engines() as found:
        yield found


@pytest.fixture
def world(yard: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AUTODEPLOY_IMAGE_BASE", BASE)
    store = Store(tmp_path / "home")
    found = World(store, Supervisor(store))
    yield found
    found.end()
    assert not yard.left()


def version(store: Store, c: float) -> int:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=1000).fit(X, NAMES[Y])
    return build(BuildRequest("iris", model, X), store, SubprocessRunner(), lambda progress: None).version.number


def test_it_serves_from_containers_as_it_does_without(world: World, yard: Engines) -> None:
    numbers = [version(world.store, c) for c in (1.0, 0.1)]
    seen: list[Progress] = []
    status = world.serve(numbers[0])
    assert status.workers[0].container == ""
    expected = world.predict().json()["predictions"]
    status = world.serve(numbers[0], seen=seen, target="container")
    worker = status.workers[0]
    assert worker.container.startswith("podman/autodeploy-iris-")

    # It is who asks for it, with no rights and no network of its own.
    told = Path(f"/proc/{worker.pid}/status").read_text("ascii")
    fields = dict(line.split(":\t", 1) for line in told.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert int(fields["Uid"].split()[0]) == os.getuid()
    assert Path(f"/proc/{worker.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()

    # Killed, it is replaced by another container, which the next supervisor takes over.
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: [one.pid for one in world.supervisor.status("iris").workers] not in ([], [worker.pid]))
    before = world.supervisor.status("iris").workers
    world.kill_supervisor()
    after = world.supervisor.status("iris").workers
    assert [(one.pid, one.container) for one in after] == [(one.pid, one.container) for one in before]

    # Another version has another image. Between containers, and from them to processes, no request is lost.
    world.serve(numbers[1], target="container", history=(numbers[0],))
    with Load(status.url, world.headers()) as load:
        until(lambda: load.answered_by(numbers[1]))
        assert world.supervisor.rollback("iris", lambda _: None).version == numbers[0]
        until(lambda: load.answered_by(numbers[0]))
        assert world.serve(numbers[1], target="container").workers[0].container
        until(lambda: load.answered_by(numbers[1]))
        status = world.serve(numbers[0])
        assert status.workers[0].container == ""
        until(lambda: load.answered_by(numbers[0]))
    assert load.failed == []
    until(lambda: not yard.left())
    assert world.predict().json()["predictions"] == expected
    steps = [(one.step, one.state) for one in seen if not one.lines]
    assert [step for step, state in steps if state == "done"] == ["stage", "build", "verify", "start"]
    assert any(one.lines for one in seen)
    answered = sum(load.versions.values())
    until(lambda: recent(world.store.metrics_file("iris"), 300.0).requests >= answered)


def test_no_engine_that_runs_containers_is_said_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidOption, match="no engine that runs containers is installed") as caught:
        runner()
    assert "Podman" in caught.value.fix


def test_an_engine_that_does_not_answer_is_told_from_one_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = tmp_path / "podman"
    engine.write_text("#!/bin/sh\nexit 1\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidOption, match="podman does not answer") as caught:
        runner()
    assert "podman info" in caught.value.fix
