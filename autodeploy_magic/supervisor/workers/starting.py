"""One worker: from the zygote to ready, or found running; and what can be asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from autodeploy_magic import settings
from autodeploy_magic.contracts import Desired, Version, WorkerState
from autodeploy_magic.errors import AutodeployError, StartFailed, from_payload
from autodeploy_magic.serve.lineup.orders import Place
from autodeploy_magic.serve.log import open_log, tail
from autodeploy_magic.serve.worker import Spec
from autodeploy_magic.settings import of_workers
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.workers.processes import Child
from autodeploy_magic.supervisor.workers.sockets import Listening
from autodeploy_magic.supervisor.workers.watch import Ending, Watched, boot_id
from autodeploy_magic.supervisor.workers.zygotes import Zygotes
from autodeploy_magic.zygote.child import Kind

__all__ = ["Launch", "Worker", "control_socket", "metrics_folder"]

log = logging.getLogger(__name__)

TARGET = "autodeploy_magic.serve.worker:main"
_EXIT_S = 5.0
_ACCEPTS_S = 2.0
"""How long a worker may take to stop accepting: it does so between two requests."""


def control_socket(folder: Path, pid: int) -> Path:
    """The control socket of a worker; see `serve.control`."""
    return folder / f"worker-{pid}.sock"


def metrics_folder(store: Store, name: str) -> Path:
    """Where each worker of a deployment has a folder for what prometheus_client counts."""
    return store.folder(name) / "prometheus"


class Worker:
    """A process that serves, started by us or adopted. `ended` is done when it has ended.

    `reachable` is set once it serves, and answers at `control`. `left_out` are versions besides the champion that it
    could not load, with why. `left` are what it leaves behind, its control socket first.
    """

    def __init__(self, process: Watched, ended: asyncio.Future[Ending], state: WorkerState, left: list[Path]) -> None:
        self.state = state
        self.ended = ended
        self.control = left[0]
        self.left_out: dict[int, AutodeployError] = {}
        self.reachable = asyncio.Event()
        self.reachable.set()
        self._process = process
        self._child: Child | None = None
        self._telling: asyncio.Task[None] | None = None
        ended.add_done_callback(lambda future: None if future.cancelled() else _remove(left))

    @classmethod
    def started(cls, child: Child, state: WorkerState, left: list[Path]) -> Worker:
        """A worker that has reported ready, and waits for leave to serve."""
        worker = cls(child.process, child.ended, state, left)
        worker._child = child
        worker.reachable.clear()
        return worker

    @property
    def pid(self) -> int:
        return self.state.pid

    @property
    def alive(self) -> bool:
        return not self.ended.done()

    def serves(self, desired: Desired) -> None:
        """Note that it has changed over to what is desired."""
        self.state = msgspec.structs.replace(self.state, version=desired.version)
        self.left_out = {}

    def serve(self) -> None:
        """Let a worker that is ready accept connections."""
        if self._child is not None:
            self._child.writer.write(b"\n")
            self._telling = asyncio.create_task(self._hear(self._child))
            self._child = None

    async def _hear(self, child: Child) -> None:
        """Wait until it says that it serves; one that ends first says nothing."""
        with contextlib.suppress(OSError):
            await child.reader.readline()
        child.writer.close()
        self.reachable.set()

    def drain(self) -> None:
        """Let it answer the connections it holds until they are closed, within `drain_s`, and end."""
        self._process.signal(signal.SIGTERM)

    async def retire(self) -> None:
        """`drain` it, and return once it accepts no new connection, which it tells by closing its control socket."""
        told = False
        try:
            async with asyncio.timeout(_ACCEPTS_S):
                await self.reachable.wait()
                reader, writer = await asyncio.open_unix_connection(self.control)
                with contextlib.closing(writer):
                    await reader.read(1)  # it holds the connection from here on
                    self.drain()
                    told = True
                    await reader.read()
        except (OSError, TimeoutError) as error:
            log.warning("worker %d did not tell that it accepts no more: %r", self.pid, error)
        finally:
            if not told:  # a second signal would end it at once
                self.drain()

    def hang_up(self) -> None:
        """Let it answer what it was asked, close idle connections, and end."""
        self._process.signal(signal.SIGHUP)

    def kill(self) -> None:
        self._process.signal(signal.SIGKILL)


@dataclass(frozen=True)
class Launch:
    """Starts the workers of one generation, on the listening sockets they share.

    `version` is the champion, `beside` are the versions that are loaded besides.
    """

    store: Store
    zygotes: Zygotes
    desired: Desired
    version: Version
    beside: tuple[Version, ...]
    generation: int
    listening: Listening

    kind: ClassVar[Kind] = "worker"

    @property
    def log_file(self) -> Path:
        """Where its workers write what they have to say."""
        return self.store.log_file(self.version.deployment)

    @property
    def places(self) -> tuple[Place, ...]:
        """Where its versions lie, the champion first."""
        return tuple(_place(self.store, version) for version in (self.version, *self.beside))

    async def worker(self) -> Worker:
        """Start one and wait until it is ready; it accepts no connection before `Worker.serve`.

        Raises `StartFailed`, with the error it reported, or how it ended and its last lines. Leaves no process behind.
        """
        name, number = self.version.deployment, self.version.number
        timeout_s = float(settings.get("start_timeout_s"))
        log_file = self.log_file
        log_start = log_file.stat().st_size if log_file.exists() else 0
        log_fd = open_log(log_file)
        child: Child | None = None
        try:
            async with asyncio.timeout(timeout_s):
                child = await self._begin(log_fd)
                answer = await child.reader.readline()
            if answer.startswith(b'{"ready"'):
                return self._ready(child, msgspec.json.decode(answer)["ready"])
            ending = await _exit(child)
        except TimeoutError:
            raise StartFailed(
                f"version {number} of {name} was not ready within {timeout_s:g} s",
                why=tail(log_file, since=log_start),
                fix="raise AUTODEPLOY_START_TIMEOUT_S if the model takes long to load",
            ) from None
        finally:
            os.close(log_fd)
            if child is not None and not child.serving:
                child.kill()
                await child.ended
                _remove(self._left(child.pid))
        if answer.endswith(b"\n"):
            error = from_payload(msgspec.json.decode(answer)["error"])
            error.details.setdefault("log", tail(log_file, since=log_start))
            raise error
        raise StartFailed(
            f"version {number} of {name} did not start: {ending}",
            why=tail(log_file, since=log_start),
            fix=f"`%deploy logs {name}` has more",
        )

    async def _begin(self, log_fd: int) -> Child:
        """Start the process, and hand it its order and the sockets."""
        return await self.zygotes.start(
            self.desired.executable, self.kind, self._order(), log_fd, self.listening.sockets
        )

    def _ready(self, child: Child, said: dict[str, Any]) -> Worker:
        child.serving = True
        state = WorkerState(
            pid=child.pid,
            create_time=child.process.created,
            boot_id=boot_id(),
            generation=self.generation,
            version=self.version.number,
            ready=True,
            container=child.container,
        )
        worker = Worker.started(child, state, self._left(child.pid))
        worker.left_out = {int(number): from_payload(payload) for number, payload in said["left_out"].items()}
        return worker

    def _left(self, pid: int) -> list[Path]:
        return [
            control_socket(self.store.runtime_dir, pid),
            metrics_folder(self.store, self.version.deployment) / str(pid),
        ]

    def _order(self) -> dict[str, Any]:
        env = {"BENTOML_HOME": str(self.store.bentoml_home(self.version.deployment))}
        return {"target": TARGET, "spec": msgspec.to_builtins(self._spec()), "paths": [], "env": env}

    def _spec(self) -> Spec:
        name = self.version.deployment
        champion, *beside = self.places
        return Spec(
            name=name,
            version=self.version.number,
            generation=self.generation,
            folder=champion.folder,
            bento_path=champion.bento_path,
            beside=tuple(beside),
            traffic=self.desired.traffic,
            workers=self.desired.workers,
            versions=str(self.store.version_folder(name, 0).parent),
            supervisor=str(self.store.supervisor_file),
            token_file=self._token_file(),
            tls=self.desired.tls,
            tls_folder=str(self.store.tls_folder(name)),
            control=str(self.store.runtime_dir),
            prometheus=str(metrics_folder(self.store, name)),
            metrics=str(self.store.metrics_file(name)),
            requests=str(self.store.requests_file(name)),
            log_file=str(self.log_file),
            runtime=str(self.store.runtime_file(name)),
            settings=of_workers(self.desired.settings),
        )

    def _token_file(self) -> str:
        """Where the worker finds its token, made where there is none; "" where it asks for none."""
        if not self.desired.auth:
            return ""
        self.store.token(self.version.deployment)
        return str(self.store.token_file(self.version.deployment))


def _place(store: Store, version: Version) -> Place:
    folder, own = store.folder(version.deployment), store.version_folder(version.deployment, version.number)
    return Place(
        version.number,
        str(folder / version.model_path if version.model_path else own),
        str(folder / version.bento_path) if version.bento_path else "",
    )


async def _exit(child: Child) -> Ending:
    """How a worker ended that did not report ready; one that lingers is killed."""
    try:
        async with asyncio.timeout(_EXIT_S):
            return await asyncio.shield(child.ended)
    except TimeoutError:
        child.kill()
        return await child.ended


def _remove(left: list[Path]) -> None:
    """Remove what a killed worker could not: its control socket, its metrics."""
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
