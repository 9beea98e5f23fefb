"""Trials: a version really run with another layout, on a port of its own, and the recorded trace replayed against it.

Its workers are started as those that serve are, from the same zygote, and hidden: they record nothing, stand in no
status, are in a folder that no supervisor looks for workers in, give way to what serves, and ask for a token of their
own. They are ended when the trial is over. Where the supervisor is killed, its zygote ends them as it ends jobs; where
both are, the next supervisor does (`Trials.sweep`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from autodeploy_magic.contracts import Desired, Traffic, Version, WorkerState
from autodeploy_magic.errors import StoreFailed
from autodeploy_magic.operate.retune.search.search import Outcome
from autodeploy_magic.operate.retune.trace import Arrival
from autodeploy_magic.retuning import Layout
from autodeploy_magic.serve.worker import Spec
from autodeploy_magic.store import Store, write_atomic
from autodeploy_magic.supervisor.jobs import Job, run_job
from autodeploy_magic.supervisor.moves import Tuning, tuned
from autodeploy_magic.supervisor.workers.sockets import Listening
from autodeploy_magic.supervisor.workers.starting import Launch, Worker, control_socket
from autodeploy_magic.supervisor.workers.watch import Watched, is_same
from autodeploy_magic.supervisor.workers.zygotes import Zygotes
from autodeploy_magic.zygote.child import Kind

__all__ = ["Trial", "Trials"]

log = logging.getLogger(__name__)

NICE, CLIENT_NICE = 15, 10
"""Its workers get a small share of a processor that the deployment wants too (by Linux' weights 36 to 1024), and all of
one that it does not. The client is before them: a request that is sent late tells nothing."""
MOST_LIMIT_S = 10.0
"""An answer that takes longer has failed, as far as a search is concerned."""
_JOB_S = 10.0
_REACHABLE_S = 5.0
_ENDS_S = 5.0
_PREFIX = "trial-"
_KEPT = "workers.json"
_UNRECORDED: dict[str, bool | float | int | str] = {
    "metrics": False,
    "record_requests": 0,
    "otlp_endpoint": "",
}


@dataclass(frozen=True)
class _TrialLaunch(Launch):
    """Starts workers of a trial. `folder` holds all that they leave, and is removed after it."""

    folder: Path = field(default_factory=Path)

    kind: ClassVar[Kind] = "trial"

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    def _order(self) -> dict[str, Any]:
        return {**super()._order(), "nice": NICE}

    def _spec(self) -> Spec:
        return msgspec.structs.replace(
            super()._spec(),
            beside=(),
            supervisor="",
            tls="",
            control=str(self.folder),
            prometheus=str(self.folder / "prometheus"),
            metrics=str(self.folder / "metrics.sqlite"),
            requests="",
            runtime="",
        )

    def _token_file(self) -> str:
        return str(self.folder / "token")

    def _left(self, pid: int) -> list[Path]:
        return [control_socket(self.folder, pid), self.folder / "prometheus" / str(pid)]


@dataclass(frozen=True)
class Trial:
    """A version that runs for a trial: where it is asked, and with which token; its workers."""

    url: str
    token: str
    version: Version
    executable: str
    workers: tuple[Worker, ...]

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(worker.pid for worker in self.workers)

    @property
    def ended(self) -> list[str]:
        """How those of its workers ended that are there no more: nobody replaces them."""
        return [str(worker.ended.result()) for worker in self.workers if worker.ended.done()]


class Trials:
    """Runs versions for trials. One at a time is of use: two would measure each other."""

    def __init__(self, store: Store, zygotes: Zygotes) -> None:
        self._store = store
        self.zygotes = zygotes

    @asynccontextmanager
    async def running(self, desired: Desired, version: Version, layout: Layout) -> AsyncIterator[Trial]:
        """Run `version` as `layout` says while the context lasts. `desired` is the deployment's, and stays as it is.

        Raises `StartFailed`, or what the workers said, where they do not start so. Afterwards nothing is left.
        """
        folder = self._store.runtime_dir / f"{_PREFIX}{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        listening: Listening | None = None
        workers: list[Worker] = []
        try:
            # The system chooses a port that is free, of those that no deployment is given.
            listening = Listening(socket.create_server(("127.0.0.1", 0), backlog=2048))
            listening.http.setblocking(False)
            token = secrets.token_urlsafe(24)
            write_atomic(folder / "token", token.encode())
            launch = _TrialLaunch(
                self._store, self.zygotes, _hidden(desired, version, layout), version, (), 0, listening, folder
            )
            await self._start(launch, layout.workers, workers)
            port = listening.http.getsockname()[1]
            yield Trial(f"http://127.0.0.1:{port}", token, version, desired.executable, tuple(workers))
        finally:
            if listening is not None:
                listening.close()
            await asyncio.shield(_ended(workers))
            shutil.rmtree(folder, ignore_errors=True)

    async def replay(
        self,
        trial: Trial,
        trace: Sequence[Arrival],
        rows: Path,
        within_s: float,
        *,
        limit_s: float = 0.0,
        seed: int = 0,
    ) -> Outcome:
        """Send the trace's requests at its times, made of the `Rows` in a file. Takes no longer than `within_s`.

        An answer that takes more than `limit_s` has failed. Raises `BuildFailed` where the client fails.
        """
        spec = {
            "url": trial.url,
            "token": trial.token,
            "trace": [list(arrival) for arrival in trace],
            "rows": str(rows),
            "signature": msgspec.to_builtins(trial.version.signature),
            "limit_s": limit_s or MOST_LIMIT_S,
            "within_s": within_s,
            "seed": seed,
        }
        before = _cpu_s(trial.pids)
        result = await run_job(
            self.zygotes,
            Job(
                executable=trial.executable,
                target="autodeploy_magic.operate.retune.replaying:main",
                spec=spec,
                timeout_s=within_s + _JOB_S,
                nice=CLIENT_NICE,
            ),
        )
        outcome = msgspec.convert(result, Outcome)
        return msgspec.structs.replace(outcome, cpu_s=max(0.0, _cpu_s(trial.pids) - before))

    def sweep(self) -> None:
        """End what trials of an earlier supervisor have left, and remove their folders: for one that starts."""
        for folder in self._store.runtime_dir.glob(f"{_PREFIX}*"):
            for state in _kept(folder):
                if is_same(state.pid, state.create_time, state.boot_id):
                    log.warning("worker %d of a trial that was broken off is ended", state.pid)
                    process = Watched(state.pid)
                    process.signal(9)
                    process.close()
            shutil.rmtree(folder, ignore_errors=True)

    async def _start(self, launch: _TrialLaunch, count: int, workers: list[Worker]) -> None:
        """Start them all, into `workers`; write down who they are before they serve, and wait until they do."""
        tasks = [asyncio.create_task(launch.worker()) for _ in range(count)]
        try:
            workers += await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            workers += [one for one in found if isinstance(one, Worker)]
            raise
        with contextlib.suppress(StoreFailed):  # a full disk: the zygote ends them all the same
            write_atomic(launch.folder / _KEPT, msgspec.json.encode([worker.state for worker in workers]))
        for worker in workers:
            worker.serve()
        async with asyncio.timeout(_REACHABLE_S):
            await asyncio.gather(*(worker.reachable.wait() for worker in workers))


def _hidden(desired: Desired, version: Version, layout: Layout) -> Desired:
    return msgspec.structs.replace(
        desired,
        version=version.number,
        host="127.0.0.1",
        port=0,
        workers=layout.workers,
        settings={**desired.settings, **_typed(layout), **_UNRECORDED},
        traffic=Traffic(),
        auth=True,
        tls="",
        grpc=False,
    )


def _typed(layout: Layout) -> dict[str, bool | float | int | str]:
    """A layout's settings, each of its knob's own kind. Raises `InvalidOption`."""
    wanted = Tuning(workers=layout.workers, settings=layout.settings)
    return dict(tuned(Desired(name="trial", version=0, executable=""), wanted).settings)


def _kept(folder: Path) -> list[WorkerState]:
    try:
        return msgspec.json.decode((folder / _KEPT).read_bytes(), type=list[WorkerState])
    except (OSError, msgspec.MsgspecError):
        return []  # it had none yet, and what had not been written down was never let serve


async def _ended(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.kill()
    if workers:
        await asyncio.wait([worker.ended for worker in workers], timeout=_ENDS_S)


def _cpu_s(pids: Sequence[int]) -> float:
    """CPU time that the processes have used, user and system; of one that has ended, nothing."""
    import psutil

    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total
