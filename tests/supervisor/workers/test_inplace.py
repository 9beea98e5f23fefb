"""A swap inside the workers, interrupted between its two steps: by the end of a worker, and of the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from versions import X
from world import WAIT_S, World, processes_of, until

from autodeploy_magic.contracts import Desired, Traffic
from autodeploy_magic.errors import AutodeployError
from autodeploy_magic.serve.control import ask
from autodeploy_magic.serve.lineup.orders import Commit, Place, Prepare
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.client import Supervisor, connect
from autodeploy_magic.supervisor.deployment import Deployment
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.shipping import Shipping
from autodeploy_magic.supervisor.workers.inplace import InPlace
from autodeploy_magic.supervisor.workers.starting import Worker
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

pytestmark = pytest.mark.timeout(120)


def told(store: Store) -> dict[int, int]:
    """Which version each worker says that it serves, by its pid."""
    found = {}
    for path in store.runtime_dir.glob("worker-*.sock"):
        answer = ask(path, WAIT_S)
        if answer is not None:
            who, sockets = answer
            found[int(who["pid"])] = int(who["version"])
            for item in sockets:
                item.close()
    return found


class Here:
    """A deployment in this process, with two workers of its own, and two versions of which the first serves."""

    def __init__(self, store: Store, zygotes: Zygotes) -> None:
        self.store = store
        self.numbers = [World(store, Supervisor(store)).version(c=c) for c in (1.0, 0.1)]
        journal = Journal(store)
        images = Shipping(store, zygotes, journal).image_for
        self.one = Deployment(store, zygotes, "iris", set, journal, images)

    async def serve(self, version: int) -> int:
        """The generation that serves `version` then."""
        desired = Desired(name="iris", version=version, executable=sys.executable, workers=2)
        return (await self.one.serve(desired, lambda _: None)).generation

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self.one.status().workers]


Scenario = Callable[[Here], Coroutine[Any, Any, None]]


@pytest.fixture
def here(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    monkeypatch.setenv("AUTODEPLOY_DRAIN_S", "0.5")

    def run(scenario: Scenario) -> None:
        async def outer() -> None:
            zygotes = Zygotes(store.supervisor_log)
            here = Here(store, zygotes)
            try:
                await here.serve(here.numbers[0])
                await scenario(here)
            finally:
                await here.one.stop()
                zygotes.close()
                await asyncio.to_thread(until, lambda: processes_of(store.home) == [])

        asyncio.run(outer())

    return run


def before_commit(monkeypatch: pytest.MonkeyPatch, happens: Callable[[InPlace], Coroutine[Any, Any, None]]) -> None:
    commit = InPlace.commit

    async def interrupted(self: InPlace, champion: int, traffic: Traffic) -> list[Worker]:
        await happens(self)
        return await commit(self, champion, traffic)

    monkeypatch.setattr(InPlace, "commit", interrupted)


def test_one_that_dies_between_the_steps_is_replaced_by_one_with_the_new_version(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(here: Here) -> None:
        before = here.pids

        async def kill_one(change: InPlace) -> None:
            os.kill(before[0], signal.SIGKILL)
            await change.workers[0].ended

        before_commit(monkeypatch, kill_one)
        assert await here.serve(here.numbers[1]) == 1  # the other one did change over
        await asyncio.to_thread(until, lambda: len(here.pids) == 2 and len(told(here.store)) == 2)
        assert before[1] in here.pids
        assert before[0] not in here.pids
        assert set(told(here.store).values()) == {here.numbers[1]}

    here(scenario)


def test_one_that_dies_while_it_prepares_does_not_stop_the_swap(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = InPlace.prepare

    async def scenario(here: Here) -> None:
        os.kill(here.pids[0], signal.SIGSTOP)  # it cannot answer

        async def interrupted(self: InPlace, champion: int, versions: tuple[Place, ...]) -> None:
            asyncio.get_running_loop().call_later(0.2, os.kill, self.workers[0].pid, signal.SIGKILL)
            await prepare(self, champion, versions)

        monkeypatch.setattr(InPlace, "prepare", interrupted)
        assert await here.serve(here.numbers[1]) == 2  # by new workers
        assert {worker.version for worker in here.one.status().workers} == {here.numbers[1]}

    here(scenario)


def test_one_that_does_not_change_over_is_replaced(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodeploy_magic.supervisor.workers.inplace.COMMIT_S", 0.5)

    async def scenario(here: Here) -> None:
        stopped = here.pids[0]

        async def stop_one(_: InPlace) -> None:
            os.kill(stopped, signal.SIGSTOP)

        before_commit(monkeypatch, stop_one)
        serving = asyncio.create_task(here.serve(here.numbers[1]))
        await asyncio.to_thread(until, lambda: len(here.one.draining) == 1)
        os.kill(stopped, signal.SIGCONT)
        assert await serving == 2
        assert {worker.version for worker in here.one.status().workers} == {here.numbers[1]}

    here(scenario)


def test_a_swap_that_is_broken_off_before_the_second_step_leaves_the_old_version(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = InPlace.prepare

    async def scenario(here: Here) -> None:
        prepared = asyncio.Event()

        async def interrupted(self: InPlace, champion: int, versions: tuple[Place, ...]) -> None:
            await prepare(self, champion, versions)
            prepared.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(InPlace, "prepare", interrupted)
        serving = asyncio.create_task(here.serve(here.numbers[1]))
        await prepared.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert await asyncio.to_thread(told, here.store) == dict.fromkeys(here.pids, here.numbers[0])
        assert here.store.desired("iris").version == here.numbers[0]
        monkeypatch.setattr(InPlace, "prepare", prepare)
        assert await here.serve(here.numbers[1]) == 1  # and the next one is made as if nothing had been

    here(scenario)


def test_a_replacement_that_was_on_its_way_comes_with_the_new_version(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(here: Here) -> None:
        assert here.one.current is not None
        victim = here.one.current.workers[0]
        asked = asyncio.Event()
        go_on = asyncio.Event()
        launch_type = type(here.one.current.launch)
        start = launch_type.worker

        async def slowly(self: Any) -> Worker:
            asked.set()
            worker = await start(self)
            await go_on.wait()
            return worker

        async def kill_one(_: InPlace) -> None:
            go_on.set()

        async def die_while_it_is_prepared(self: InPlace, champion: int, versions: tuple[Place, ...]) -> None:
            await prepare(self, champion, versions)
            monkeypatch.setattr(launch_type, "worker", slowly)
            victim.kill()
            await asked.wait()  # its replacement begins, with the version that serves now

        prepare = InPlace.prepare
        monkeypatch.setattr(InPlace, "prepare", die_while_it_is_prepared)
        before_commit(monkeypatch, kill_one)
        await here.serve(here.numbers[1])
        await asyncio.to_thread(until, lambda: len(here.pids) == 2 and len(told(here.store)) == 2)
        assert set((await asyncio.to_thread(told, here.store)).values()) == {here.numbers[1]}

    here(scenario)


def _order(control: Path, *orders: Prepare | Commit) -> None:
    """Say to a worker what a supervisor says."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(WAIT_S)
        connection.connect(str(control))
        with connection.makefile("rwb") as stream:
            stream.readline()
            for order in orders:
                stream.write(msgspec.json.encode(order) + b"\n")
                stream.flush()
                assert stream.readline().startswith(b'{"done"')


@pytest.mark.parametrize("committed", [1, 2])
def test_a_supervisor_that_dies_between_commits_is_followed_by_one_that_makes_the_swap(
    world: World, committed: int
) -> None:
    """What is desired is written down before the first commit: the next supervisor finds workers that lag behind."""
    numbers = [world.version(c=c) for c in (1.0, 0.1)]
    status = world.serve(numbers[0], workers=3)
    world.kill_supervisor()
    world.store.save_desired(msgspec.structs.replace(world.store.desired("iris"), version=numbers[1]))
    place = Place(numbers[1], str(world.store.version_folder("iris", numbers[1])))
    for worker in status.workers[:committed]:
        control = world.store.runtime_dir / f"worker-{worker.pid}.sock"
        _order(control, Prepare(numbers[1], (place,)), Commit(numbers[1], Traffic()))
    assert sorted(told(world.store).values()) == [numbers[0]] * (3 - committed) + [numbers[1]] * committed
    with httpx.Client(base_url=status.url, timeout=WAIT_S, headers=world.headers()) as client:
        connect(world.store)
        until(lambda: world.supervisor.status("iris").state == "running")
        answers = [client.post("/predict", json={"inputs": X[:1].tolist()}) for _ in range(20)]
    assert {answer.json()["version"] for answer in answers[1:]} == {numbers[1]}
    assert {answer.status_code for answer in answers} == {200}
    found = world.supervisor.status("iris")
    assert {worker.version for worker in found.workers} == {numbers[1]}
    assert found.generation == status.generation + 1
    until(lambda: set(told(world.store)) == {worker.pid for worker in found.workers})


def test_a_supervisor_that_dies_before_the_first_commit_leaves_nothing_prepared(world: World) -> None:
    numbers = [world.version(c=c) for c in (1.0, 0.1)]
    status = world.serve(numbers[0])
    control = world.store.runtime_dir / f"worker-{status.workers[0].pid}.sock"
    place = Place(numbers[1], str(world.store.version_folder("iris", numbers[1])))
    _order(control, Prepare(numbers[1], (place,)))
    with pytest.raises(AssertionError):
        _order(control, Commit(numbers[1], Traffic()))
    world.kill_supervisor()
    assert connect(world.store).status("iris") == msgspec.structs.replace(status, since=status.workers[0].create_time)
    until(lambda: "version 2 is let go of" in world.supervisor.logs("iris"))


def test_an_error_of_a_swap_in_place_reads_as_that_of_any_other(world: World) -> None:
    world.serve(world.version())
    number = world.version(c=0.1)
    (world.store.version_folder("iris", number) / "sample.json").unlink()
    with pytest.raises(AutodeployError) as failure:
        world.serve(number)
    assert "sample.json is not the file that was built" in failure.value.what
