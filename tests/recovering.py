"""A deployment that exists in numbers alone, and hands that change it: for what decides about recovery."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from records import make_version

from autodeploy_magic.contracts import Desired, Status, Traffic, WorkerState
from autodeploy_magic.health import Alert, Incident
from autodeploy_magic.metrics.histogram import bucket
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.operate.detect.base import Answers, Moment, Reference
from autodeploy_magic.operate.recover.hands import Room
from autodeploy_magic.operate.recover.recovery import Recovery
from autodeploy_magic.store import Store

__all__ = ["MB", "Machine", "alert"]

MB = 1024 * 1024
START_S = 1_800_000_000.0


def alert(rule: str, **more: Any) -> Alert:
    """One that fires; its detector and its metric are named as the rule unless they are given."""
    given: dict[str, Any] = {
        "id": f"a-{rule}",
        "name": "iris",
        "rule": rule,
        "detector": rule,
        "metric": rule,
        "severity": "critical",
        "text": f"{rule} fires",
        "since_s": START_S,
    }
    return Alert(**(given | more))


class Machine:
    """One deployment and its recovery; `second()` passes one. It is also the hands, and writes down what they did.

    `trouble` is raised by the next thing that is done.
    """

    def __init__(self, store: Store, *, mode: Any = "act", workers: int = 1, history: tuple[int, ...] = (1, 2)) -> None:
        self.desired = Desired(
            name="iris", version=3, executable="python", history=history, workers=workers, recovery=mode
        )
        self.now_s = START_S
        self.swapped_s = 0.0
        self.state: Any = "running"
        self.pids = list(range(100, 100 + workers))
        self.done: list[str] = []
        self.at: list[float] = []
        self.trouble: Exception | None = None
        self.free = Room(cores=8, cores_free=6.0, memory_free_bytes=8_000 * MB)
        self.latency_s = 0.005
        self.requests = 100
        self.failed = 0
        self.memory = 200 * MB
        self.cpu = 0.1
        self.waiting = 0
        self.disk_free = 10_000 * MB
        self.by_version: dict[int, Answers] = {}
        self.told: list[Incident] = []
        self.under_way, self.turns = 0, 1
        self.most_at_once = 0
        self.recovery = Recovery(store, self, self.told.append, clock=lambda: self.now_s)

    # --- the world

    async def second(self, *alerts: Alert, count: int = 1) -> tuple[Incident, ...]:
        """Let seconds pass in which these alerts fire; what is done is done within them."""
        for _ in range(count):
            self.now_s += 1.0
            await self.recovery.look(self.moment(), alerts)
            await self.settled()
        return self.recovery.of("iris")

    async def settled(self) -> None:
        """Wait until no action is under way."""
        state = self.recovery._known("iris")
        await self.recovery._acted(state)

    def moment(self) -> Moment:
        status = Status(
            name="iris",
            state=self.state,
            version=self.desired.version,
            desired_workers=self.desired.workers,
            workers=tuple(
                WorkerState(pid=pid, create_time=1.0, boot_id="", generation=1, version=3, ready=True)
                for pid in self.pids
            ),
        )
        answers = Answers(self.requests, 0, self.failed, {bucket(self.latency_s): self.requests})
        used = Resources(
            int(self.now_s), 1.0, len(self.pids), self.cpu, self.memory, self.memory, 4, 9, MB, self.disk_free
        )
        return Moment(
            t=int(self.now_s) - 1,
            name="iris",
            desired=self.desired,
            status=status,
            version=make_version(number=self.desired.version),
            answers=answers,
            reference=lambda: Reference({}, {}),
            by_version=self.by_version or {self.desired.version: answers},
            waiting=self.waiting,
            used=used,
            swapped_s=self.swapped_s,
        )

    # --- the hands

    async def end_worker(self, name: str, pid: int) -> None:
        await self._do(f"end {pid}")
        self.pids = [pid + 1000 if one == pid else one for one in self.pids]

    async def restart(self, name: str) -> None:
        await self._do("restart")

    async def roll_back(self, name: str, version: int) -> None:
        await self._do(f"roll back to {version}")
        self.desired = msgspec.structs.replace(
            self.desired, version=version, history=tuple(one for one in self.desired.history if one < version)
        )
        self.swapped_s = self.now_s

    async def run(self, name: str, workers: int | None, settings: dict[str, float]) -> None:
        await self._do(" ".join([f"run {workers}", *(f"{key}={value:g}" for key, value in settings.items())]))
        workers = self.desired.workers if workers is None else workers
        self.desired = msgspec.structs.replace(
            self.desired, workers=workers, settings={**self.desired.settings, **settings}
        )
        self.pids = list(range(200, 200 + workers))

    async def end_trial(self, name: str) -> None:
        await self._do("end trial")
        self.desired = msgspec.structs.replace(self.desired, traffic=Traffic())

    async def trim(self, name: str) -> int:
        await self._do("trim")
        return 5 * MB

    async def retune(self, name: str, trigger: str) -> str:
        await self._do("retune")
        return "a1"

    def previous(self, name: str) -> int | None:
        return self.desired.history[-1] if self.desired.history else None

    def room(self) -> Room:
        return self.free

    async def _do(self, what: str) -> None:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            if self.trouble is not None:
                trouble, self.trouble = self.trouble, None
                raise trouble
            self.done.append(what)
            self.at.append(self.now_s)
        finally:
            self.under_way -= 1
