"""One deployment: its port, the generation that serves, and the swap to the next."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from autodeploy_magic import tls
from autodeploy_magic.address import check_open, grpc_url_of, url_of
from autodeploy_magic.contracts import Desired, Progress, Report, State, Status, WorkerState
from autodeploy_magic.errors import AutodeployError, InvalidOption, StartFailed, StoreFailed
from autodeploy_magic.health import Severity
from autodeploy_magic.live import Kind
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.serve.lineup.together import same_interface
from autodeploy_magic.settings import of_workers
from autodeploy_magic.ship.kept import image_of
from autodeploy_magic.shipping import Image
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.certificates import provide
from autodeploy_magic.supervisor.journal import Journal, told
from autodeploy_magic.supervisor.records import Runtime
from autodeploy_magic.supervisor.traffic import TrafficChange, beside, changed, settled
from autodeploy_magic.supervisor.workers.containers import RUNS, ContainerLaunch
from autodeploy_magic.supervisor.workers.generation import Generation
from autodeploy_magic.supervisor.workers.inplace import InPlace
from autodeploy_magic.supervisor.workers.remote import RemoteGeneration, RemoteLaunch
from autodeploy_magic.supervisor.workers.sockets import Listening, listen_for
from autodeploy_magic.supervisor.workers.starting import Launch
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["Deployment", "Images"]

log = logging.getLogger(__name__)

_FIXED_AT_START = ("executable", "host", "port", "workers", "auth", "tls", "grpc", "grpc_port", "target", "address")
"""What a worker is given when it starts, and keeps: for another value there must be another worker. So are the settings
that workers are given."""
_ENDS_S = 1.0

Images = Callable[[Desired, Report], Awaitable[Image]]
"""Gives the image that runs the version that is desired; see `Shipping.image_for`."""


class Deployment:
    """What the person wants of one deployment, made so. One change at a time; status can be asked at any time.

    The listening sockets are held as long as the deployment runs, so that connections wait, and are not refused, in the
    moment between a worker's death and its replacement. `catching_up` is true from the supervisor's start until workers
    that an earlier one left serve what is desired.
    """

    def __init__(
        self,
        store: Store,
        zygotes: Zygotes,
        name: str,
        avoid_ports: Callable[[], set[int]],
        journal: Journal,
        images: Images,
    ) -> None:
        self.name = name
        self.desired: Desired | None = None
        self.listening: Listening | None = None
        self.current: Generation | RemoteGeneration | None = None
        self.draining: list[Generation | RemoteGeneration] = []
        self.last_generation = 0
        self.problem = ""
        self.catching_up = False
        self.busy = asyncio.Lock()
        self._store = store
        self._zygotes = zygotes
        self._avoid_ports = avoid_ports
        self._journal = journal
        self._images = images
        self._starting = False
        self._drains: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """Whether workers of it serve, or are being started."""
        return self._starting or (self.current is not None and not self.current.failure)

    @property
    def workers(self) -> tuple[WorkerState, ...]:
        """Every worker that lives, those that drain included."""
        return tuple(worker.state for generation in self._generations for worker in generation.workers)

    def take_used(self) -> tuple[Resources, ...] | None:
        """What its replicas in a cluster took since this was called last; None where its workers are here."""
        return self.current.take_used() if isinstance(self.current, RemoteGeneration) else None

    @property
    def _generations(self) -> list[Generation | RemoteGeneration]:
        """Those that drain, and the one that serves."""
        return [*self.draining, *([self.current] if self.current is not None else [])]

    async def serve(self, desired: Desired, report: Report, *, fresh: bool = False) -> Status:
        """Start, or swap to, what is desired: inside the workers that serve where they can, else by new ones.

        New workers ready → recorded → serving → the old ones drained; with `fresh` always. Raises `StartFailed`,
        `PortTaken`, `UnknownVersion`, `InvalidOption` or `StoreFailed`; then the old generation serves as before and
        what was desired before is still what is desired.
        """
        async with self.busy:
            return await self._serve(desired, report, fresh=fresh)

    async def change(
        self, make: Callable[[Desired], Desired], report: Report, *, kind: Kind | None = None, fresh: bool = False
    ) -> Status:
        """Serve what `make` makes of what is desired when its turn has come. `kind` is what the change is called."""
        async with self.busy:
            assert self.desired is not None
            return await self._serve(make(self.desired), report, fresh=fresh, kind=kind)

    async def choose(self, make: Callable[[Desired], Desired]) -> Status:
        """Change what is desired and no worker knows of: SLO, recovery. Raises what `make` does, and `StoreFailed`."""
        async with self.busy:
            assert self.desired is not None
            before, desired = self.desired, make(self.desired)
            if desired != before:
                self._want(desired)
                self.note(*told(before, desired, fresh=False))
            return self.status()

    async def steer(self, change: TrafficChange, report: Report) -> Status:
        """Change what versions besides the champion are given; where it is stopped, from its next start on.

        Raises as `serve` does.
        """
        async with self.busy:
            assert self.desired is not None
            desired = msgspec.structs.replace(self.desired, traffic=changed(self.desired.traffic, change))
            if desired.state == "running":
                return await self._serve(desired, report)
            self._want(settled(self._store, desired, self.desired))
            return self.status()

    async def stop(self) -> Status:
        """Drain the workers and close the port. What is desired from now on is that it does not run."""
        async with self.busy:
            was_stopped = self.desired is None or self.desired.state == "stopped"
            if self.desired is not None and not was_stopped:
                self._want(msgspec.structs.replace(self.desired, state="stopped"))
            await self._end()
            if not was_stopped:
                self.note("stopped", "")
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
        for generation in self._generations:
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
            url=url_of(desired),
            workers=workers,
            desired_workers=desired.workers,
            reason=reason,
            format=current.launch.version.format if current is not None else "",
            since=current.since if current is not None else 0.0,
            traffic=desired.traffic,
            grpc_url=grpc_url_of(desired),
            auth=desired.auth,
            certificate_until=self._certificate_until(desired),
        )

    def record(self) -> None:
        """Write down the workers that live, of all generations. Raises `StoreFailed`."""
        runtime = Runtime(
            name=self.name,
            generation=self.current.number if self.current is not None else self.last_generation,
            workers=self.workers,
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

    def note(self, kind: Kind, text: str, severity: Severity = "info") -> None:
        """Note what has happened, for those who watch and for the time axis of every chart."""
        version = self.desired.version if self.desired is not None else 0
        self._journal.note(self.name, kind, text, version=version, severity=severity)

    def launch(self, desired: Desired, listening: Listening, number: int, version: int) -> Launch:
        """What starts a worker of generation `number`, with `version` as the champion.

        Raises `UnknownVersion`, and `StartFailed` where it is to be a container and has no image.
        """
        champion = self._store.version(self.name, version)
        others = beside(self._store, desired)
        if desired.target != "container":
            return Launch(self._store, self._zygotes, desired, champion, others, number, listening)
        image = image_of(self._store, self.name, version, RUNS)
        if image is None:
            raise StartFailed(f"v{version} of {self.name} has no image", fix=f"`%deploy restart {self.name}` builds it")
        return ContainerLaunch(self._store, self._zygotes, desired, champion, others, number, listening, image=image)

    def generation(self, launch: Launch) -> Generation:
        """A generation of this deployment that has no workers yet."""
        return Generation(launch, launch.desired.workers, self.note_change, self.note)

    async def _serve(
        self, desired: Desired, report: Report, *, fresh: bool = False, kind: Kind | None = None
    ) -> Status:
        self._starting = True
        before = self.desired
        started = time.perf_counter()
        report(Progress(step="start", state="started", detail=f"version {desired.version}"))
        try:
            await self._make_so(desired, report, fresh=fresh)
        except AutodeployError as error:
            report(Progress(step="start", state="failed", seconds=time.perf_counter() - started, detail=error.what))
            raise
        finally:
            self._starting = False
        status = self.status()
        assert self.desired is not None
        named, text = told(before, self.desired, fresh=fresh)
        self.note(kind or named, text)
        report(Progress(step="start", state="done", seconds=time.perf_counter() - started, detail=status.url))
        return status

    async def _make_so(self, desired: Desired, report: Report, *, fresh: bool) -> None:
        desired = settled(self._store, desired, self.desired)
        if desired.port == 0 and self.desired is not None:
            desired = msgspec.structs.replace(desired, port=self.desired.port)
        if desired.grpc_port == 0 and self.desired is not None:
            desired = msgspec.structs.replace(desired, grpc_port=self.desired.grpc_port)
        reason = "fresh workers are wanted" if fresh else await self._change(desired)
        if reason:
            log.info("%s: new workers for version %d: %s", self.name, desired.version, reason)
            await self._swap(desired, report)

    async def _change(self, desired: Desired) -> str:
        """Make it so inside the workers that serve; returns why that cannot be done, and then nothing has changed.

        A supervisor that is killed between the two steps leaves workers that serve what is not desired any more: the
        next one sees it. Raises `StoreFailed`.
        """
        reason = self._needs_others(desired)
        if reason:
            return reason
        current, listening = self.current, self.listening
        assert isinstance(current, Generation)
        assert listening is not None
        launch = self.launch(desired, listening, current.number, desired.version)
        change = InPlace(current.workers)
        try:
            try:
                await change.prepare(desired.version, launch.places)
            except AutodeployError as error:
                return error.what + (f" ({error.why})" if error.why else "")
            if current.failure or not set(current.workers) <= set(change.workers):
                return "workers were replaced meanwhile"
            self._want(desired)
            current.launch = launch
            left = await change.commit(desired.version, desired.traffic)
        finally:
            change.close()
        for worker in change.workers:
            if worker not in left:
                worker.serves(desired)
        if left:  # one that has ended is replaced, and its replacement serves what is desired
            await asyncio.wait([worker.ended for worker in left], timeout=_ENDS_S)
        self.note_change()
        deaf = [str(worker.pid) for worker in left if worker.alive]
        return f"worker {', '.join(deaf)} did not change over" if deaf else ""

    def _needs_others(self, desired: Desired) -> str:
        """Why the workers that serve cannot be the ones that serve what is desired; "" where they may be."""
        current, now = self.current, self.desired
        if current is None or now is None or self.listening is None:
            return "none serve"
        if current.failure or len(current.workers) != current.count:
            return "not all workers serve"
        was = current.launch.desired
        others = [name for name in _FIXED_AT_START if getattr(was, name) != getattr(desired, name)]
        others += ["settings"] if of_workers(was.settings) != of_workers(desired.settings) else []
        if others:
            return f"{', '.join(others)} changed"
        if desired.version != current.version and desired.target == "container":
            return "each version has its own image"
        if desired.version in (current.version, *current.launch.desired.traffic.versions):
            return ""  # it is loaded there
        if not same_interface(current.launch.version, self._store.version(self.name, desired.version)):
            return "it is of another kind than the version that serves"
        return ""

    async def _swap(self, desired: Desired, report: Report) -> None:
        """Have new workers serve what is desired, and drain the old ones."""
        if desired.target == "ray":
            await self._swap_remote(desired, report)
            return
        if desired.target == "container":
            await self._images(desired, report)
        key = f"{self._store.home}/{self.name}"
        listening, desired = listen_for(desired, self.listening, key=key, avoid=self._avoid_ports())
        old, new = self.current, None
        try:
            if not desired.auth:
                check_open(desired.host, str(desired.settings.get("hosts", "")))
            await provide(self._store, self._zygotes, desired)
            self.last_generation += 1
            new = self.generation(self.launch(desired, listening, self.last_generation, desired.version))
            await new.start()
            new.refuse_gaps()
            self._take_over(new, desired)
        except BaseException:
            if new is not None:
                await new.kill()
            listening.close(keep=self.listening)
            raise
        if self.listening is not None:
            self.listening.close(keep=listening)
        self.listening = listening
        await new.reachable()
        if old is not None:
            # From here on every new connection is answered by the new version.
            await old.accepts_no_more.wait()

    async def _swap_remote(self, desired: Desired, report: Report) -> None:
        """Have a cluster's replicas serve what is desired. Its own replicas it replaces itself; others are drained."""
        old = self.current
        launch = RemoteLaunch(
            self._store, desired, self._store.version(self.name, desired.version), self.last_generation + 1
        )
        new = RemoteGeneration(launch, self.note_change, self.note)
        if isinstance(old, RemoteGeneration):
            await old.abandon()
        try:
            desired = await new.start(report)
            self.last_generation += 1
            self._take_over(new, desired)
        except BaseException:
            if isinstance(old, RemoteGeneration):
                old.serve()
            raise
        self._close_port()

    def _take_over(self, new: Generation | RemoteGeneration, desired: Desired) -> None:
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
            if isinstance(old, RemoteGeneration) and isinstance(new, RemoteGeneration):
                old.superseded = old.at == new.at
            self.drain(old)

    def drain(self, old: Generation | RemoteGeneration) -> None:
        """Let a generation that is in `draining` end by and by."""
        task = asyncio.create_task(self._drain(old))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

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

    async def _drain(self, old: Generation | RemoteGeneration) -> None:
        await old.drain()
        self.draining.remove(old)
        self.note_change()

    def _certificate_until(self, desired: Desired) -> float:
        if not desired.tls:
            return 0.0
        try:
            return tls.read(desired.tls, self._store.tls_folder(self.name)).until
        except InvalidOption as error:  # a file that was taken away; workers go on with what they have read
            log.warning("%s: %s", self.name, error)
            return 0.0

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
        if self.catching_up:
            return "degraded", "a swap was broken off, and is made now"
        problem = self.problem or current.gap
        return ("degraded", problem) if problem else ("running", "")
