"""One deployment: its port, the generation that serves, and the swap to the next."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

import msgspec

from autodeploy_magic.contracts import Desired, Progress, Report, State, Status
from autodeploy_magic.errors import AutodeployError, StoreFailed
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor import sockets
from autodeploy_magic.supervisor.generation import Generation
from autodeploy_magic.supervisor.records import Runtime
from autodeploy_magic.supervisor.starting import Launch
from autodeploy_magic.supervisor.zygotes import Zygotes

__all__ = ["Deployment"]

log = logging.getLogger(__name__)


class Deployment:
    """What the person wants of one deployment, made so. One change at a time; status can be asked at any time.

    The listening socket is held as long as the deployment runs, so that connections wait, and are not refused, in the
    moment between a worker's death and its replacement.
    """

    def __init__(self, store: Store, zygotes: Zygotes, name: str, avoid_ports: Callable[[], set[int]]) -> None:
        self.name = name
        self.desired: Desired | None = None
        self.listening: socket.socket | None = None
        self.current: Generation | None = None
        self.draining: list[Generation] = []
        self.last_generation = 0
        self.problem = ""
        self.busy = asyncio.Lock()
        self._store = store
        self._zygotes = zygotes
        self._avoid_ports = avoid_ports
        self._starting = False
        self._drains: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """Whether workers of it serve, or are being started."""
        return self._starting or (self.current is not None and not self.current.failure)

    async def serve(self, desired: Desired, report: Report) -> Status:
        """Start, or swap to, what is desired: new workers ready → recorded → serving → the old ones drained.

        Raises `StartFailed`, `PortTaken`, `UnknownVersion` or `StoreFailed`; then the old generation serves as before
        and what was desired before is still what is desired.
        """
        async with self.busy:
            self._starting = True
            started = time.perf_counter()
            report(Progress(step="start", state="started", detail=f"version {desired.version}"))
            try:
                await self._swap(desired)
            except AutodeployError as error:
                report(Progress(step="start", state="failed", seconds=time.perf_counter() - started, detail=error.what))
                raise
            finally:
                self._starting = False
            status = self.status()
            report(Progress(step="start", state="done", seconds=time.perf_counter() - started, detail=status.url))
            return status

    async def stop(self) -> Status:
        """Drain the workers and close the port. What is desired from now on is that it does not run."""
        async with self.busy:
            if self.desired is not None and self.desired.state != "stopped":
                self._want(msgspec.structs.replace(self.desired, state="stopped"))
            await self._end()
            return self.status()

    async def remove(self) -> None:
        """End the workers and delete everything of the deployment."""
        async with self.busy:
            await self._end()
            await asyncio.to_thread(self._store.remove, self.name)
            self.desired, self.problem = None, ""

    async def leave(self) -> None:
        """Let go of the deployment; its workers serve on, for the next supervisor to find."""
        for task in self._drains:
            task.cancel()
        for generation in [*self.draining, *filter(None, [self.current])]:
            await generation.abandon()
        self._close_port()

    def status(self) -> Status:
        """How the deployment is now."""
        desired, current = self.desired, self.current
        if desired is None:
            return Status(name=self.name, state="failed", version=0, reason=self.problem)
        version = current.version if current is not None else desired.version
        workers = tuple(worker.state for worker in current.workers) if current is not None else ()
        state, reason = self._state(desired, len(workers))
        return Status(
            name=self.name,
            state=state,
            version=version,
            generation=current.number if current is not None else self.last_generation,
            url=sockets.url(desired.host, desired.port),
            workers=workers,
            desired_workers=desired.workers,
            reason=reason,
            format=current.launch.version.format if current is not None else "",
            since=current.since if current is not None else 0.0,
        )

    def record(self) -> None:
        """Write down the workers that live, of all generations. Raises `StoreFailed`."""
        generations = [*self.draining, *filter(None, [self.current])]
        runtime = Runtime(
            name=self.name,
            generation=self.current.number if self.current is not None else self.last_generation,
            workers=tuple(worker.state for generation in generations for worker in generation.workers),
            control=str(self._store.runtime_dir),
        )
        self._store.write_json(self._store.runtime_file(self.name), runtime)
        self.problem = ""

    def note_change(self) -> None:
        """Write down a change that has happened by itself. What serves goes on serving where that cannot be done."""
        if self.current is not None and self.current.failure and not self.current.workers:
            self._close_port()  # nobody will answer: connections are better refused than left waiting
        try:
            self.record()
        except StoreFailed as error:
            self.problem = f"it serves, but after a crash of the supervisor it might not be found: {error.what}"
            log.warning("%s: %s", self.name, error)

    def generation(self, desired: Desired, listening: socket.socket, number: int, version: int) -> Generation:
        """A generation of this deployment that has no workers yet."""
        found = self._store.version(self.name, version)
        launch = Launch(self._store, self._zygotes, desired.executable, found, number, listening, desired.settings)
        return Generation(launch, desired.workers, self.note_change)

    async def _swap(self, desired: Desired) -> None:
        listening, desired = self._listen(desired)
        old, new = self.current, None
        try:
            self.last_generation += 1
            new = self.generation(desired, listening, self.last_generation, desired.version)
            await new.start()
            self._take_over(new, desired)
        except BaseException:
            if new is not None:
                await new.kill()
            if listening is not self.listening:
                listening.close()
            raise
        if listening is not self.listening:
            self._close_port()
            self.listening = listening
        if old is not None:
            # From here on every new connection is answered by the new version.
            await old.accepts_no_more.wait()

    def _take_over(self, new: Generation, desired: Desired) -> None:
        """Make `new` the generation that serves, and drain the old. Where that cannot be written down, nothing changes.

        A supervisor that is killed before the last line leaves new workers that never served, and end by themselves.
        """
        old = self.current
        self.current = new
        if old is not None:
            self.draining.append(old)
        try:
            self.record()
            self._want(desired)
        except StoreFailed:
            self.current = old
            if old is not None:
                self.draining.remove(old)
            raise
        new.serve()
        if old is not None:
            self.drain(old)

    def drain(self, old: Generation) -> None:
        """Let a generation that is in `draining` end by and by."""
        task = asyncio.create_task(self._drain(old))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    def _listen(self, desired: Desired) -> tuple[socket.socket, Desired]:
        """The listening socket for what is desired: the one that is open where the address is the same."""
        if desired.port == 0 and self.desired is not None:
            desired = msgspec.structs.replace(desired, port=self.desired.port)
        if self.listening is not None and self.listening.getsockname()[:2] == (desired.host, desired.port):
            return self.listening, desired
        key = f"{self._store.home}/{self.name}"
        listening = sockets.listen(desired.host, desired.port, key=key, avoid=self._avoid_ports())
        return listening, msgspec.structs.replace(desired, port=listening.getsockname()[1])

    def _want(self, desired: Desired) -> None:
        self._store.save_desired(desired)
        self.desired = desired

    async def _end(self) -> None:
        self._close_port()
        if self.current is not None:
            await self.current.hang_up()
        for old in list(self.draining):
            await old.kill()
        await asyncio.gather(*self._drains)
        self.current = None

    async def _drain(self, old: Generation) -> None:
        await old.drain()
        self.draining.remove(old)
        self.note_change()

    def _close_port(self) -> None:
        if self.listening is not None:
            self.listening.close()
            self.listening = None

    def _state(self, desired: Desired, workers: int) -> tuple[State, str]:
        current = self.current
        if current is None:
            if self._starting:
                return "starting", ""
            return ("failed", self.problem) if desired.state == "running" else ("stopped", "")
        if current.failure:
            return ("degraded" if workers else "failed"), current.failure
        if workers < desired.workers:
            return ("degraded" if workers else "starting"), f"{workers} of {desired.workers} workers serve"
        return ("degraded", self.problem) if self.problem else ("running", "")
