"""What a re-tune works with: jobs that give way to what serves, and workers on trial; and how its steps are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from autodeploy_magic.contracts import Desired, Progress, Report
from autodeploy_magic.errors import BuildFailed
from autodeploy_magic.retuning import Contender, Retune
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.retune.layout_search import search_layouts
from autodeploy_magic.supervisor.retune.trials import Trials
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["Steps", "SupervisorBench"]

NICE = 10
CORES = 1
"""A job gives way to what serves, and uses one core of those there are."""
MEMORY_SHARE = 0.5
"""Of the memory that is free when it begins, one job may take so much, where nothing else is set."""
_QUIET = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "TF_CPP_MIN_LOG_LEVEL": "3"}


class SupervisorBench:
    """What the conductor works with: jobs that give way to what serves, and workers on trial."""

    def __init__(self, store: Store, zygotes: Zygotes, trials: Trials, desired: Desired, folder: Path) -> None:
        self._store = store
        self._zygotes = zygotes
        self._trials = trials
        self._desired = desired
        self._folder = folder

    async def job(self, target: str, spec: dict[str, Any], *, within_s: float) -> dict[str, Any]:
        memory = int(self._desired.settings.get("retune_memory_bytes") or 0)
        job = Job(
            executable=self._desired.executable,
            target=target,
            spec=spec,
            env=_QUIET,
            timeout_s=within_s,
            nice=NICE,
            cores=CORES if (os.cpu_count() or 1) > CORES else 0,
            memory_bytes=memory or int(psutil.virtual_memory().available * MEMORY_SHARE),
        )
        try:
            return await run_job(self._zygotes, job)
        except BuildFailed as error:  # in the words of the table of candidates
            error.what = error.what.replace(f"the process that ran {target}", "its process").replace(target, "it")
            raise

    async def layouts(self, retune: Retune, within_s: float, said: Callable[[str], None]) -> list[Contender]:
        version = await asyncio.to_thread(self._store.version, retune.name, retune.champion)
        data = self._folder / "data"
        return await search_layouts(self._trials, self._desired, version, data, within_s, retune.order.seed, said)


class Steps:
    """A re-tune's progress as the steps of an activity."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._last = ""

    def say(self, retune: Retune) -> None:
        if retune.step and retune.step != self._last:
            self._last = retune.step
            self._report(Progress(step="re-tune", state="started", detail=retune.step))

    def end(self, retune: Retune, seconds: float) -> None:
        state: Any = "failed" if retune.state == "failed" else "done"
        self._report(Progress(step="re-tune", state=state, seconds=seconds, detail=retune.outcome))
