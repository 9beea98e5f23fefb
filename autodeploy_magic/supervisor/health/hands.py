"""What recovery may do, done as if a person had asked for it; see `operate.recover.hands`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path

from autodeploy_magic.contracts import Progress
from autodeploy_magic.operate.recover.hands import Room
from autodeploy_magic.serve.runtime.cores import usable_cores
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.moves import Tuning, previous
from autodeploy_magic.supervisor.retune.retunes import Retunes, unasked
from autodeploy_magic.supervisor.traffic import TrafficChange

__all__ = ["SupervisorHands"]

log = logging.getLogger(__name__)

_ROOM_S = 1.0
_STALE_S = 60.0


class SupervisorHands:
    """The hands of the supervisor; all of it on its event loop but `previous`, which reads files."""

    def __init__(self, store: Store, deployments: Deployments, retunes: Retunes) -> None:
        self._store = store
        self._deployments = deployments
        self._retunes = retunes
        self._cores = usable_cores()
        self._busy: tuple[float, float] = (0.0, 0.0)
        self._room = Room(self._cores, 0.0, 0)

    async def end_worker(self, name: str, pid: int) -> None:
        await self._deployments.end_worker(name, pid)

    async def restart(self, name: str) -> None:
        await self._deployments.restart(name, _said)

    async def roll_back(self, name: str, version: int) -> None:
        await self._deployments.roll_back(name, version, _said)

    async def run(self, name: str, workers: int | None, settings: dict[str, float]) -> None:
        await self._deployments.tune(name, Tuning(workers=workers, settings=settings), _said)

    async def end_trial(self, name: str) -> None:
        await self._deployments.steer(name, TrafficChange(canary=0, share=0.0, shadow=0), _said)

    async def trim(self, name: str) -> int:
        return await asyncio.to_thread(self._trim, name)

    async def retune(self, name: str, trigger: str) -> str:
        order = unasked(self._deployments.desired(name), trigger)
        return (await self._retunes.begin(name, order, _said)).id

    def previous(self, name: str) -> int | None:
        return previous(self._store, self._deployments.desired(name))

    def room(self) -> Room:
        """Over the time since it was asked last; nothing is free the first time, since nothing is known."""
        import psutil

        now = time.monotonic()
        if now - self._busy[0] < _ROOM_S:
            return self._room
        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        asked_s, idle_before_s = self._busy
        self._busy = now, idle_s
        free = (idle_s - idle_before_s) / (now - asked_s) if asked_s and now - asked_s < _STALE_S else 0.0
        self._room = Room(self._cores, max(0.0, min(free, float(self._cores))), _memory_free())
        return self._room

    def _trim(self, name: str) -> int:
        folder = self._store.folder(name)
        before = _size(folder)
        back = self.previous(name)
        with self._store.building(name):
            removed = self._store.trim(name, keep=0, spare=() if back is None else (back,))
            log_file = self._store.log_file(name)
            log_file.with_name(f"{log_file.name}.1").unlink(missing_ok=True)
        freed = max(0, before - _size(folder))
        log.info("%s: removed versions %s and the older log, %d bytes", name, removed, freed)
        return freed


def _said(progress: Progress) -> None:
    log.info("recovery: %s %s %s", progress.step, progress.state, progress.detail)


def _size(folder: Path) -> int:
    """What a folder takes on the disk; what is written or removed meanwhile may or may not count."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(place, file)).st_blocks * 512
    return total


def _memory_free() -> int:
    """What the machine has left, or the control group that this process is in, if that is less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError, IndexError):
        group = Path("/sys/fs/cgroup", Path("/proc/self/cgroup").read_text("ascii").rpartition("::/")[2].strip())
        limit = (group / "memory.max").read_text("ascii").strip()
        if limit != "max":
            free = min(free, int(limit) - int((group / "memory.current").read_text("ascii")))
    return max(0, free)
