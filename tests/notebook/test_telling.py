"""How a build goes on is told to everybody who watches, and never costs the build anything."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sklearn.tree import DecisionTreeClassifier
from versions import X, Y
from watching import Watching, watching
from world import World, until

from autodeploy_magic.contracts import Progress
from autodeploy_magic.errors import BuildFailed, SupervisorFailed
from autodeploy_magic.notebook import telling
from autodeploy_magic.notebook.asked import Order
from autodeploy_magic.notebook.flow import connecting, launch
from autodeploy_magic.notebook.progress import STEPS
from autodeploy_magic.notebook.telling import Telling
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor

pytestmark = pytest.mark.timeout(120)

STARTED = Progress(step="verify", state="started")
DONE = Progress(step="verify", state="done", seconds=0.2, detail="150 rows")


def reached(world: World) -> Future[Supervisor]:
    future: Future[Supervisor] = Future()
    future.set_result(world.supervisor)
    return future


def quiet(_: Progress) -> None:
    pass


def state(seen: Watching, title: str) -> str:
    return seen.activities[title].state if title in seen.activities else ""


def steps(seen: Watching, title: str) -> tuple[Progress, ...]:
    return seen.activities[title].steps if title in seen.activities else ()


def ended() -> bool:
    return not any(thread.name == "autodeploy-telling" for thread in threading.enumerate())


def test_each_step_is_shown_here_and_told_elsewhere(world: World) -> None:
    shown: list[Progress] = []
    with watching(world.supervisor) as seen:
        told = Telling("iris", "deploy iris", world.store, reached(world), shown.append)
        told(STARTED)
        seen.wait(lambda: steps(seen, "deploy iris") == (STARTED,))
        running = seen.activities["deploy iris"]
        assert (running.name, running.where, running.state) == ("iris", "kernel", "running")
        assert abs(running.started_s - time.time()) < 60
        told(DONE)
        told.end()
        seen.wait(lambda: state(seen, "deploy iris") == "done")
        assert seen.activities["deploy iris"].steps == (DONE,)
    assert shown == [STARTED, DONE]
    until(ended)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BuildFailed("the model cannot be written"), "the model cannot be written"),
        (KeyboardInterrupt(), "interrupted"),
        (ZeroDivisionError("1"), "ZeroDivisionError"),
    ],
)
def test_a_build_that_fails_is_told_with_what_went_wrong(world: World, error: BaseException, text: str) -> None:
    with watching(world.supervisor) as seen:
        told = Telling("iris", text, world.store, reached(world), quiet)
        told(STARTED)
        told.end(error)
        seen.wait(lambda: state(seen, text) == "failed")
        assert seen.activities[text].error == text
    until(ended)


def test_a_step_that_takes_long_is_told_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "REPEAT_S", 0.05)
    with watching(world.supervisor) as seen:
        told = Telling("iris", "long", world.store, reached(world), quiet)
        seen.wait(lambda: sum(m.activity is not None and m.activity.title == "long" for m in seen.messages) >= 3)
        told.end()
    until(ended)


def test_what_was_heard_before_the_supervisor_was_there_is_told_then(world: World) -> None:
    future: Future[Supervisor] = Future()
    with watching(world.supervisor) as seen:
        told = Telling("iris", "early", world.store, future, quiet)
        told(STARTED)
        told(DONE)
        future.set_result(world.supervisor)
        seen.wait(lambda: steps(seen, "early") == (DONE,))
        told.end()
    until(ended)


def test_without_a_supervisor_nobody_is_told_and_none_is_started(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    shown: list[Progress] = []
    never: Future[Supervisor] = Future()
    told = Telling("iris", "deploy iris", store, never, shown.append)
    told(STARTED)
    told.end(SupervisorFailed("it did not start"))  # nobody waits to tell: one who did would wait for ever
    assert shown == [STARTED]
    never.set_exception(SupervisorFailed("it did not start"))
    until(ended)
    done: Future[Any] = Future()
    done.set_result(None)  # there was one, and it has ended since
    Telling("iris", "deploy iris", store, done, quiet).end()
    until(ended)
    assert not store.supervisor_file.exists()


def test_a_deploy_is_told_with_all_its_steps(world: World) -> None:
    order = Order("told", DecisionTreeClassifier(max_depth=2).fit(X, Y), X)
    with watching(world.supervisor) as seen:
        launch(order, world.store, connecting(world.store), quiet=True)
        seen.wait(lambda: state(seen, "deploy told") == "done")
        assert [(step.step, step.state) for step in steps(seen, "deploy told")] == [(step, "done") for step in STEPS]
    until(ended)
    world.supervisor.remove("told")
