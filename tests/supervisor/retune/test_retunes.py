"""Re-tunes by the real supervisor: what is found is proved, taken without a lost request, and taken back."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from steady import Steady
from world import World, processes_of, until

from autodeploy_magic.build import BuildRequest, SubprocessRunner, build
from autodeploy_magic.errors import AutodeployError, InvalidOption, UnknownDeployment
from autodeploy_magic.retuning import Order, Retune
from autodeploy_magic.store import Store

pytestmark = pytest.mark.timeout(420)

WAIT_S = 120.0
X, Y = make_classification(1600, 5, n_informative=5, n_redundant=0, class_sep=2.0, random_state=0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one version of a forest that is larger than it need be."""
    home = tmp_path_factory.mktemp("built")
    model = RandomForestClassifier(40, random_state=0).fit(X[:600], Y[:600])
    request = BuildRequest(name="forest", model=model, sample=X[600:], labels=Y[600:])
    build(request, Store(home), SubprocessRunner(), lambda _: None)
    return home


@pytest.fixture
def served(world: World, built: Path) -> World:
    """It serves, and has been asked a little."""
    shutil.copytree(built / "deployments", world.store.home / "deployments", dirs_exist_ok=True)
    world.serve(1, "forest")
    return world


def ask(world: World, rows: Any) -> list[int]:
    answer = httpx.post(
        f"{world.supervisor.status('forest').url}/predict",
        json={"inputs": np.asarray(rows).tolist()},
        headers=world.headers("forest"),
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    found: list[int] = answer.json()["predictions"]
    return found


def retuned(world: World, **order: Any) -> Retune:
    return world.supervisor.retune("forest", Order(**{"goal": "size", "budget_s": 180.0, **order}), lambda _: None)


def swallowed(world: World) -> None:
    """A re-tune whose end, whatever it is, somebody else looks at."""
    with contextlib.suppress(AutodeployError):
        retuned(world)


def passed(retune: Retune) -> list[str]:
    return [one.id for one in retune.contenders if one.state == "passed"]


def test_fewer_trees_are_proved_taken_and_taken_back_under_load(served: World) -> None:
    world = served
    before = ask(world, X[900:1000])
    with Steady(world.supervisor.status("forest").url, world.headers("forest"), X[:1].tolist(), 30) as load:
        found = retuned(world, max_loss=0.05, promote="auto")
        assert found.state == "done", found.error
        assert found.data.held_out > 100
        assert passed(found), [(one.title, one.reason) for one in found.contenders]
        assert found.chosen in passed(found)
        assert found.promoted == found.chosen
        assert world.supervisor.status("forest").version == 2
        assert found.bakes_until_s > time.time()
        version = world.store.version("forest", 2)
        assert version.size_bytes < world.store.version("forest", 1).size_bytes
        after = ask(world, X[900:1000])
        assert np.mean(np.array(before) == np.array(after)) > 0.9
        undone = world.supervisor.undo_retune("forest", found.id, lambda _: None)
        assert undone.undone
        assert world.supervisor.status("forest").version == 1
    assert {answer.status for answer in load.answers} == {200}
    assert version.lineage is not None
    assert (version.lineage.retune, version.lineage.parent, version.lineage.contender) == (found.id, 1, found.chosen)
    assert "re-tuned from v1" in version.note
    kinds = [event.kind for event in world.supervisor.events("forest")]
    assert kinds.count("retuned") == 3
    with pytest.raises(InvalidOption, match="nothing of the re-tune"):
        world.supervisor.undo_retune("forest", found.id, lambda _: None)
    again = world.supervisor.take("forest", found.id, found.chosen, lambda _: None)
    assert world.supervisor.status("forest").version == again.contender(found.chosen).version == 2  # type: ignore[union-attr]


def test_the_same_is_made_again_with_its_own_data(served: World) -> None:
    world = served
    first = retuned(world, max_loss=0.05, seed=7)
    again = world.supervisor.retune("forest", Order(replay=first.id, budget_s=180.0), lambda _: None)
    assert again.order.seed == 7
    assert again.order.trigger == f"replay {first.id}"
    assert again.data == first.data
    made = {one.title: one.digest for one in first.contenders if one.digest}
    assert made
    assert {one.title: one.digest for one in again.contenders if one.digest} == made
    assert world.supervisor.status("forest").version == 1  # nothing is taken unasked
    assert [retune.id for retune in world.supervisor.retunes("forest")] == [again.id, first.id]
    assert world.supervisor.view("forest").retunes[0].id == again.id
    with pytest.raises(InvalidOption, match="no re-tune"):
        world.supervisor.retune_of("forest", "none")
    with pytest.raises(InvalidOption, match="cannot take"):
        retuned(world, budget_s=1.0)
    with pytest.raises(InvalidOption, match="cannot be allowed"):
        retuned(world, max_loss=2.0)
    world.supervisor.scale("forest", 2, lambda _: None)
    with pytest.raises(InvalidOption, match="not as it was"):  # what passed was proved against what served then
        world.supervisor.take("forest", again.id, again.chosen, lambda _: None)
    assert world.supervisor.status("forest").version == 1
    deleted = world.supervisor.forget_data("forest")
    assert (deleted["requests"], deleted["retunes"]) == (0, 2)
    with pytest.raises(InvalidOption, match="not kept any more"):
        world.supervisor.retune("forest", Order(replay=first.id, budget_s=180.0), lambda _: None)


def test_one_at_a_time_and_cancelled_nothing_has_changed(served: World) -> None:
    world = served
    results: list[Retune] = []
    thread = threading.Thread(target=lambda: results.append(retuned(world)))
    thread.start()
    until(lambda: world.supervisor.retunes("forest"), WAIT_S)
    (running,) = world.supervisor.retunes("forest")
    with pytest.raises(InvalidOption, match="runs already"):
        retuned(world)
    until(lambda: world.supervisor.glances()[0].retune, WAIT_S)
    ended = world.supervisor.cancel_retune("forest", running.id)
    thread.join(WAIT_S)
    assert ended.state == results[0].state == "cancelled"
    assert "nothing was changed" in ended.outcome
    assert not any(one.state in ("waiting", "making", "measuring") for one in ended.contenders)
    assert world.supervisor.status("forest").version == 1
    assert world.supervisor.glances()[0].retune == ""
    folder = world.store.retunes_folder("forest") / running.id
    assert not (folder / "contenders").exists()
    with pytest.raises(InvalidOption, match="does not run"):
        world.supervisor.cancel_retune("forest", running.id)
    with pytest.raises(InvalidOption, match="cannot be taken"):
        world.supervisor.take("forest", running.id, "c1", lambda _: None)


def test_a_supervisor_that_is_killed_leaves_nothing_half_way(served: World) -> None:
    world = served
    thread = threading.Thread(target=lambda: swallowed(world))
    thread.start()
    until(lambda: any("trying" in one.step for one in world.supervisor.retunes("forest")), WAIT_S)
    world.kill_supervisor()
    thread.join(WAIT_S)
    found = world.supervisor.retunes("forest")[0]
    assert found.state == "failed"
    assert "nothing was changed" in found.outcome
    until(lambda: len(processes_of(world.store.home)) <= 3, WAIT_S)  # supervisor, zygote, worker: no job is left
    assert not (world.store.retunes_folder("forest") / found.id / "contenders").exists()
    assert ask(world, X[:2]) == Y[:2].tolist()


def test_what_is_removed_is_re_tuned_no_further(served: World) -> None:
    world = served
    thread = threading.Thread(target=lambda: swallowed(world))
    thread.start()
    until(lambda: world.supervisor.retunes("forest"), WAIT_S)
    world.supervisor.remove("forest")
    thread.join(WAIT_S)
    assert not thread.is_alive()
    with pytest.raises(UnknownDeployment):
        world.supervisor.retunes("forest")
    assert not world.store.folder("forest").exists()
