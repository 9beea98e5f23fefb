"""What recovery does to real workers: probed, found stuck, ended, replaced, rolled back, restarted, trimmed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from versions import X
from world import World

from autodeploy_magic.contracts import Desired
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Alert, Incident
from autodeploy_magic.live import Event
from autodeploy_magic.operate.detect.base import Answers, Moment, Reference, WorkerSight
from autodeploy_magic.operate.recover.recovery import Recovery
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.health.hands import SupervisorHands
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.retune.retunes import Retunes
from autodeploy_magic.supervisor.shipping import Shipping
from autodeploy_magic.supervisor.workers.probing import Prober
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

pytestmark = pytest.mark.timeout(120)

SLEEPS, SPINS = -1.0, -2.0
WAIT_S = 20.0


def hanging() -> Callable[..., Any]:
    """A model's own code that hangs on some rows: on the event loop's thread, for it is quick on all others."""

    def preprocess(x: Any) -> Any:
        import time

        if float(x.min()) == -1.0:
            time.sleep(1000)
        while float(x.min()) == -2.0:
            pass
        return x

    return preprocess


def failing() -> Callable[..., Any]:
    """One that fails on requests of three rows, and not on its sample."""

    def postprocess(x: Any) -> Any:
        if len(x) == 3:
            raise ValueError("this version was never any good")
        return x

    return postprocess


@dataclass
class Place:
    """Deployments in this process, with everything that recovery stands on."""

    store: Store
    deployments: Deployments
    hands: SupervisorHands
    prober: Prober
    events: list[Event]

    def version(self, **more: Any) -> int:
        return World(self.store, None).version(**more)  # type: ignore[arg-type]  # it asks no supervisor here

    async def serve(self, number: int, **more: Any) -> None:
        before = self.deployments.desired("iris") if self.deployments.statuses() else None
        history = () if before is None else (*before.history, before.version)
        wanted = Desired(name="iris", version=number, executable=sys.executable, history=history, **more)
        await self.deployments.serve(wanted, lambda _: None)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self.deployments.status("iris").workers]

    async def sights(self) -> dict[int, WorkerSight]:
        ((_, workers),) = self.deployments.observed()
        return await self.prober.probe(workers)

    async def seen(self, wanted: Callable[[WorkerSight], bool]) -> WorkerSight:
        """Probe until a worker looks so."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for sight in (await self.sights()).values():
                    if wanted(sight):
                        return sight
                await asyncio.sleep(0.05)

    async def ask(self, row: float = 1.0, timeout_s: float = WAIT_S) -> int:
        headers = {"authorization": f"Bearer {self.store.token('iris')}"}
        async with httpx.AsyncClient(timeout=timeout_s, headers=headers) as client:
            body = {"inputs": np.where(np.ones((3, 4)) > 0, row, X[:3]).tolist()}
            url = self.deployments.status("iris").url
            return (await client.post(f"{url}/predict", json=body)).status_code

    def moment(self, **more: Any) -> Moment:
        status, desired = self.deployments.status("iris"), self.deployments.desired("iris")
        given: dict[str, Any] = {"answers": Answers(), "reference": lambda: Reference({}, {}), **more}
        version = self.store.version("iris", desired.version)
        return Moment(t=int(time.time()), name="iris", desired=desired, status=status, version=version, **given)


@asynccontextmanager
async def place(store: Store) -> AsyncIterator[Place]:
    zygotes, journal = Zygotes(store.supervisor_log), Journal(store)
    store.supervisor_log.parent.mkdir(parents=True, exist_ok=True)
    events: list[Event] = []
    journal.listen = events.append
    deployments = Deployments(store, zygotes, journal, Shipping(store, zygotes, journal).image_for)
    prober = Prober(store)
    try:
        retunes = Retunes(store, zygotes, deployments, journal, told=lambda _: None, slo_state=lambda _: "unset")
        yield Place(store, deployments, SupervisorHands(store, deployments, retunes), prober, events)
    finally:
        prober.close()
        await deployments.stop_all()
        zygotes.close()
        await asyncio.to_thread(journal.close)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something that others do has happened."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - other processes have no event
            await asyncio.sleep(0.01)


def run(store: Store, test: Callable[[Place], Awaitable[None]]) -> None:
    async def runs() -> None:
        async with place(store) as here:
            await test(here)

    asyncio.run(runs())


def alert(rule: str, **more: Any) -> Alert:
    given = {"id": "a", "name": "iris", "rule": rule, "detector": rule, "metric": rule, "severity": "critical"}
    return Alert(**{**given, "since_s": time.time(), **more})


def test_workers_that_hang_in_any_way_are_seen_and_ended(store: Store) -> None:
    async def test(here: Place) -> None:
        await here.serve(here.version(preprocess=hanging()), workers=2)
        first = await here.sights()
        assert sorted(first) == sorted(here.pids)
        assert all((one.silent_s, one.stopped, one.held_s) == (0.0, False, 0.0) for one in first.values())
        incidents: list[Incident] = []
        recovery = Recovery(here.store, here.hands, incidents.append)

        async def heal(pid: int) -> None:
            stuck = alert(f"worker:{pid}", detector="workers", metric="workers", worker=pid)
            await recovery.look(here.moment(), [stuck])
            await until(lambda: pid not in here.pids and len(here.pids) == 2)
            assert await here.ask() == 200

        stopped = here.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        sight = await here.seen(lambda one: one.stopped)
        assert sight.pid == stopped
        await heal(stopped)

        for row, idle in ((SLEEPS, True), (SPINS, False)):
            await recovery.look(here.moment(), [])
            with pytest.raises(httpx.HTTPError):
                await here.ask(row, timeout_s=0.3)
            sight = await here.seen(lambda one: one.silent_s > 1.0)
            assert (sight.idle_s > 0.5) is idle
            others = [one for pid, one in (await here.sights()).items() if pid != sight.pid]
            assert [one.silent_s for one in others] == [0.0]
            await heal(sight.pid)
        await recovery.close()
        told = [event.text for event in here.events if event.kind == "worker_died"]
        assert len(told) == 3
        assert all("it did not answer and was ended; replaced after" in text for text in told)
        assert here.deployments.status("iris").state == "running"
        with pytest.raises(InvalidOption, match="is no worker of iris"):
            await here.hands.end_worker("iris", stopped)

    run(store, test)


def test_a_worker_that_serves_on_is_never_taken_for_one_that_hangs(store: Store) -> None:
    async def test(here: Place) -> None:
        await here.serve(here.version())
        (pid,) = here.pids
        for _ in range(20):
            (sight,) = (await here.sights()).values()
            assert (sight.pid, sight.silent_s) == (pid, 0.0)
        descriptors = len(os.listdir("/proc/self/fd"))
        os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            sight = (await here.sights())[pid]
        assert sight.stopped
        assert len(os.listdir("/proc/self/fd")) <= descriptors, "one question at a time"
        os.kill(pid, signal.SIGCONT)
        sight = await here.seen(lambda one: one.silent_s == 0.0 and not one.stopped)
        assert sight.pid == pid
        await here.hands.restart("iris")
        assert pid not in here.pids
        assert set(await here.sights()) >= set(here.pids)
        await here.deployments.stop("iris")
        assert here.deployments.observed() == []

    run(store, test)


def test_a_bad_version_goes_back_a_leak_is_restarted_and_no_request_is_lost(store: Store) -> None:
    async def test(here: Place) -> None:
        good, bad = here.version(), here.version(c=0.5, postprocess=failing())
        await here.serve(good)
        incidents: list[Incident] = []
        recovery = Recovery(here.store, here.hands, incidents.append)
        await recovery.look(here.moment(), [])
        await here.serve(bad)
        swapped_s = time.time()
        assert await here.ask() == 500
        broken = alert("slo", metric="errors", value=1.0, limit=0.001, objective="given")
        await recovery.look(here.moment(swapped_s=swapped_s), [broken])
        async with asyncio.timeout(WAIT_S):
            while await here.ask() != 200:
                pass
        assert here.deployments.desired("iris").version == good
        await until(lambda: incidents[-1].did == f"rolled back v{bad} → v{good}")

        answered: list[int] = []

        async def ask_all_the_time() -> None:
            while True:
                answered.append(await here.ask())

        asking = asyncio.create_task(ask_all_the_time())
        before = here.pids
        await recovery.close()
        recovery = Recovery(here.store, here.hands, incidents.append, clock=lambda: time.time() + 5)
        await recovery.look(here.moment(), [])
        assert incidents[-1].outcome == "helped"
        recovery._clock = lambda: time.time() + 60
        await recovery.look(
            here.moment(), [alert("leak", metric="memory", severity="warning", since_s=time.time() + 59)]
        )
        await until(lambda: not set(before) & set(here.pids) and answered)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await recovery.close()
        assert set(answered) == {200}

    run(store, test)


def test_the_rest_of_the_hands_and_the_switch_that_restarts_nothing(store: Store) -> None:
    def write_older_log() -> None:
        Path(f"{store.log_file('iris')}.1").write_text("old " * 100_000)

    async def test(here: Place) -> None:
        for c in (1.0, 0.5, 0.2, 0.1):
            here.version(c=c)
        await here.serve(1)
        await here.serve(3)
        pids = here.pids
        assert here.hands.previous("iris") == 1
        write_older_log()
        freed = await here.hands.trim("iris")
        assert freed > 300_000
        assert [version.number for version in store.versions("iris")] == [1, 3]
        status = await here.deployments.recover("iris", "suggest")
        assert [worker.pid for worker in status.workers] == pids
        assert store.desired("iris").recovery == "suggest"
        with pytest.raises(InvalidOption, match="recovery cannot be 'yes'"):
            await here.deployments.recover("iris", "yes")
        await here.hands.run("iris", None, {"threads": 1, "max_queue": 8})
        assert store.desired("iris").settings == {"threads": 1, "max_queue": 8}
        assert here.hands.room().cores_free == 0.0, "nothing is known yet"
        asked_s, idle_s = here.hands._busy
        here.hands._busy = asked_s - 5.0, idle_s - 5.0  # as if a core had been idle for the five seconds before
        room = here.hands.room()
        assert 0.5 < room.cores_free <= room.cores
        assert room.memory_free_bytes > 0
        assert any(event.kind == "recovery" and event.text == "act → suggest" for event in here.events)

    run(store, test)
