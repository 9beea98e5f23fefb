"""Drills: a fault is caused for real, in bounds, and it is measured how long it takes to be seen and to be put right.

    kill     SIGKILL to one worker
    hang     SIGSTOP to one worker; it goes on where nobody has replaced it by the end
    slow     each run of the model takes longer
    errors   a part of the runs fails
    leak     workers take memory and do not give it back
    disk     workers can write no file any more, as on a full disk (RLIMIT_FSIZE)

What is still there when the time is over is undone; and where the supervisor dies, workers undo it themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import psutil

from autodeploy_magic.contracts import Progress, Report, WorkerState
from autodeploy_magic.errors import InvalidOption
from autodeploy_magic.health import Alert, Drill
from autodeploy_magic.serve.lineup.orders import Disturb
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.health.drill_load import DrillLoad
from autodeploy_magic.supervisor.health.operating import Operating
from autodeploy_magic.supervisor.workers.starting import control_socket
from autodeploy_magic.supervisor.workers.talk import Talk

__all__ = ["KINDS", "Drills"]

KINDS = {"kill": 30.0, "hang": 30.0, "leak": 150.0, "slow": 60.0, "errors": 60.0, "disk": 30.0}
"""What can be drilled, and how long it lasts at most where nobody says."""
LEAST_S, MOST_S = 5.0, 300.0
WARM_S = 3.0
"""Requests flow for so long before the fault, so that it has something to differ from."""
LOOK_S = 0.05
SLOW_S = 0.25
ERRORS = 0.2
LEAK_BYTES_PER_S = 8e6
LEAK_SHARE = 0.25
"""Of the memory that is free may be taken by a leak, at most, by all workers together."""


class Drills:
    """One drill of a deployment at a time."""

    def __init__(self, store: Store, deployments: Deployments, operating: Operating) -> None:
        self._store = store
        self._deployments = deployments
        self._operating = operating
        self._running: set[str] = set()

    async def drill(self, name: str, kind: str, seconds: float | None, report: Report) -> Drill:
        """Cause the fault `kind`, for `seconds` at most. Raises `UnknownDeployment` or `InvalidOption`."""
        seconds = KINDS.get(kind, LEAST_S) if seconds is None else seconds
        self._check(name, kind, seconds)
        self._running.add(name)
        try:
            return await self._drill(name, kind, seconds, report)
        finally:
            self._running.discard(name)
            self._operating.drilling(name, "")

    async def _drill(self, name: str, kind: str, seconds: float, report: Report) -> Drill:
        desired = self._deployments.desired(name)
        version = await asyncio.to_thread(self._store.version, name, desired.version)
        load = await asyncio.to_thread(DrillLoad, self._store, desired, version)
        load.start()
        try:
            with _step(report, "warm-up"):
                await asyncio.sleep(WARM_S)
            self._operating.drilling(name, kind)
            before = self._workers(name)
            began_s, began = time.time(), time.monotonic()
            detected = recovered = None
            async with self._caused(kind, before, seconds):
                with _step(report, kind, f"{len(before)} worker{'s' if len(before) > 1 else ''}"):
                    while (lasted := time.monotonic() - began) < seconds:
                        if detected is None and self._is_seen(name, kind, before, began_s):
                            detected = lasted
                        if self._is_over(name, kind, before, desired.workers):
                            recovered = lasted
                            break
                        await asyncio.sleep(LOOK_S)
            lasted = time.monotonic() - began
            with _step(report, "answers"):
                await asyncio.sleep(WARM_S)
        finally:
            await asyncio.to_thread(load.close)
        requests, lost = load.sent
        alerts = self._alerts(name, began_s)
        actions = tuple(
            incident.did or f"not done: {incident.would or incident.action}: {incident.why}".removesuffix(": ")
            for incident in reversed(self._operating.recovery.of(name))
            if incident.opened_s >= began_s and incident.action
        )
        found = Drill(
            name=name,
            kind=kind,
            lasted_s=lasted,
            detected_s=detected,
            recovered_s=recovered,
            requests=requests,
            lost=lost,
            alerts=tuple(alert.text for alert in alerts),
            actions=actions,
        )
        return _worded(found)

    def _check(self, name: str, kind: str, seconds: float) -> None:
        status = self._deployments.status(name)
        if kind not in KINDS:
            raise InvalidOption(f"there is no drill {kind!r}", fix=f"there are: {', '.join(KINDS)}")
        if not LEAST_S <= seconds <= MOST_S:
            raise InvalidOption(f"a drill cannot take {seconds:g} s", fix=f"use {LEAST_S:g} to {MOST_S:g} seconds")
        if kind == "disk" and not hasattr(psutil, "RLIMIT_FSIZE"):
            raise InvalidOption(
                "a full disk can be drilled on Linux alone", why="elsewhere no process may limit another"
            )
        if status.state != "running":
            raise InvalidOption(
                f"{name} is {status.state}: a drill begins with a deployment that serves", fix=f"%deploy start {name}"
            )
        if name in self._running:
            raise InvalidOption(f"{name} is being drilled already", fix="wait until that is over")

    def _workers(self, name: str) -> tuple[WorkerState, ...]:
        return self._deployments.status(name).workers

    def _alerts(self, name: str, since_s: float) -> list[Alert]:
        return [alert for alert in self._operating.known(name) if alert.since_s >= int(since_s)]

    def _is_seen(self, name: str, kind: str, before: tuple[WorkerState, ...], began_s: float) -> bool:
        """Whether the fault was seen: by an alert, or a death by the process's own end."""
        return self._workers(name) != before if kind == "kill" else bool(self._alerts(name, began_s))

    def _is_over(self, name: str, kind: str, before: tuple[WorkerState, ...], wanted: int) -> bool:
        """Whether nothing of the fault is left: the workers that it was in have been replaced."""
        now = self._workers(name)
        if self._deployments.status(name).state != "running" or len(now) < wanted:
            return False
        hit = before[:1] if kind in ("kill", "hang") else before
        return not {worker.pid for worker in hit} & {worker.pid for worker in now}

    @contextlib.asynccontextmanager
    async def _caused(self, kind: str, workers: tuple[WorkerState, ...], seconds: float) -> AsyncIterator[None]:
        """Cause it; undone at the end, as far as it is still there."""
        if kind == "kill":
            os.kill(workers[0].pid, signal.SIGKILL)
            yield
        elif kind == "hang":
            async with _undone(_stopped(workers[0])):
                yield
        elif kind == "disk":
            async with _undone(*(_unable_to_write(worker) for worker in workers)):
                yield
        else:
            folder = self._store.runtime_dir
            order = _order(kind, seconds, len(workers))
            talks = [await Talk.begin(control_socket(folder, worker.pid)) for worker in workers]
            try:
                for talk in talks:
                    talk.say(order)
                for talk in talks:
                    await talk.answer()
                yield
            finally:
                for talk in talks:
                    talk.close()


def _order(kind: str, seconds: float, workers: int) -> Disturb:
    if kind == "slow":
        return Disturb("slow", seconds, SLOW_S)
    if kind == "errors":
        return Disturb("errors", seconds, ERRORS)
    most = int(psutil.virtual_memory().available * LEAK_SHARE / workers)
    return Disturb("leak", seconds, LEAK_BYTES_PER_S, most)


def _stopped(worker: WorkerState) -> Callable[[], object]:
    """Stop a worker; returns what lets it go on, if it is still the same process."""
    process = psutil.Process(worker.pid)
    process.suspend()
    return process.resume


def _unable_to_write(worker: WorkerState) -> Callable[[], object]:
    """Let every file that a worker writes be too large; returns what ends that."""
    process = psutil.Process(worker.pid)
    soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (0, hard))
    return lambda: process.rlimit(psutil.RLIMIT_FSIZE, (soft, hard))


@contextlib.asynccontextmanager
async def _undone(*undo: Callable[[], object]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for each in undo:
            with contextlib.suppress(psutil.NoSuchProcess):  # it was replaced
                each()


@contextlib.contextmanager
def _step(report: Report, step: str, detail: str = "") -> Iterator[None]:
    started = time.monotonic()
    report(Progress(step=step, state="started", detail=detail))
    yield
    report(Progress(step=step, state="done", seconds=time.monotonic() - started, detail=detail))


def _worded(drill: Drill) -> Drill:
    """With one sentence that says it all."""
    seen = f"seen after {drill.detected_s:.1f} s" if drill.detected_s is not None else "not seen while it lasted"
    cured = (
        f"put right after {drill.recovered_s:.1f} s"
        if drill.recovered_s is not None
        else f"ended by the drill itself after {drill.lasted_s:.0f} s"
    )
    text = f"{drill.kind}: {seen}, {cured}; {drill.lost} of {drill.requests} requests lost"
    return msgspec.structs.replace(drill, text=text)
