"""A generation whose workers are replicas in a Ray cluster: the cluster starts, replaces and ends them.

What is done here is to tell it what is wanted, to see how it stands, and to fetch what the replicas record, each about
once a second. A supervisor that starts anew declares the same application again, which changes nothing in the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from autodeploy_magic.contracts import Desired, Progress, Report, Version, WorkerState
from autodeploy_magic.errors import AutodeployError, InvalidOption, ShipFailed, StartFailed
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.ship.ray import ray_local
from autodeploy_magic.ship.ray.application import Wish, owner_of
from autodeploy_magic.ship.ray.dashboard import Dashboard, cluster_token
from autodeploy_magic.ship.ray.rollout import HTTP, deploy, remove
from autodeploy_magic.ship.ray.words import Replica, Standing, standing
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.workers.generation import Note
from autodeploy_magic.supervisor.workers.remote_requests import RemoteRequests
from autodeploy_magic.supervisor.workers.remote_rows import RemoteRows, fetch_rows
from autodeploy_magic.supervisor.workers.remote_use import RemoteUse

__all__ = ["RemoteGeneration", "RemoteLaunch", "RemoteWorker"]

log = logging.getLogger(__name__)

LOOK_S = 1.0
QUIET_S = 10.0
"""A cluster that has not answered for so long is said not to."""
_USED = 120
"""Seconds of what replicas took that wait for whoever shows them; then the oldest are given up."""


@dataclass(frozen=True)
class RemoteLaunch:
    """What is deployed. The counterpart of `starting.Launch`."""

    store: Store
    desired: Desired
    version: Version
    generation: int


@dataclass(frozen=True)
class RemoteWorker:
    """A replica, as the deployment shows it."""

    state: WorkerState

    @property
    def pid(self) -> int:
        return self.state.pid


class RemoteGeneration:
    """The replicas of one version; the counterpart of `generation.Generation`.

    `changed` is called after each change of the workers, `note` is told of what happens. `failure` stays "": a cluster
    goes on trying; `gap` says what is wrong now.
    """

    def __init__(self, launch: RemoteLaunch, changed: Callable[[], None], note: Note) -> None:
        self.launch = launch
        self.count = launch.desired.workers
        self.workers: list[RemoteWorker] = []
        self.failure = ""
        self.gap = ""
        self.since = time.time()
        self.superseded = False
        self.accepts_no_more = asyncio.Event()
        self._changed = changed
        self._note = note
        self._watching: asyncio.Task[None] | None = None
        self._dashboard: Dashboard | None = None
        self._fresh: dict[str, Any] = dict(HTTP)
        self._tokens: tuple[str, ...] = ()
        self._heard = time.monotonic()
        self._rows = RemoteRows(launch.store.metrics_file(launch.version.deployment))
        requests_file = launch.store.requests_file(launch.version.deployment)
        self._requests = RemoteRequests(requests_file, launch.desired.settings)
        self._complaint = ""
        self._use = RemoteUse()
        self._used: deque[Resources] = deque(maxlen=_USED)

    @property
    def number(self) -> int:
        return self.launch.generation

    @property
    def version(self) -> int:
        return self.launch.version.number

    @property
    def at(self) -> str:
        """The address of its cluster; "" before there is one."""
        return self._dashboard.address if self._dashboard is not None else ""

    @property
    def name(self) -> str:
        return self.launch.version.deployment

    def take_used(self) -> tuple[Resources, ...]:
        """What its replicas took, in the seconds that are known since this was called last, oldest first."""
        return tuple(self._used.popleft() for _ in range(len(self._used)))

    async def start(self, report: Report) -> Desired:
        """Have the cluster run it, in place of what the deployment ran there before.

        Returns what is desired with where it is. Raises `ShipFailed`, `InvalidOption`, `MissingPackage`, or what a
        replica said that did not start.
        """
        desired = self.launch.desired
        address, self._fresh, token = await asyncio.to_thread(self._cluster, report)
        self._dashboard = Dashboard(address, token)
        url = await self._deploy(report)
        desired = msgspec.structs.replace(desired, url=url)
        self.launch = RemoteLaunch(self.launch.store, desired, self.launch.version, self.launch.generation)
        self._see(await asyncio.to_thread(self._standing))
        return desired

    def serve(self) -> None:
        """Watch it from now on."""
        self.since = time.time()
        self._watching = asyncio.create_task(self._watch())

    async def reachable(self) -> None:
        """It is, once it was started."""

    async def abandon(self) -> None:
        """Watch it no longer; it serves on."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None

    async def drain(self) -> None:
        """Delete the application, unless the cluster has replaced it with a newer one."""
        try:
            await self.hang_up()
        finally:
            self.accepts_no_more.set()

    async def hang_up(self) -> None:
        """Delete the application; its replicas answer what they hold. What cannot be deleted is noted."""
        await self.abandon()
        if not self.superseded and self._dashboard is not None:
            try:
                await asyncio.to_thread(self._remove, self._dashboard)
            except AutodeployError as error:
                log.warning("%s: %s", self.name, error)
                self._note("failed", f"it may still be in the cluster: {error.what}", "warning")
        self.workers = []
        self._changed()

    async def kill(self) -> None:
        """As `hang_up`."""
        await self.hang_up()

    async def replace(self, pid: int) -> None:
        """Raises `InvalidOption`: replicas are the cluster's to replace."""
        raise InvalidOption(
            f"worker {pid} of {self.name} is a replica in a Ray cluster",
            why="the cluster looks after its replicas, and replaces one that does not answer",
            fix=f"`%deploy restart {self.name}`, or the cluster's dashboard",
        )

    def _cluster(self, report: Report) -> tuple[str, dict[str, Any], str]:
        """Its dashboard's address, where Ray Serve is to listen, and its token; one of this machine where none is
        named."""
        desired, store = self.launch.desired, self.launch.store
        local = ray_local.find(store) if desired.address else ray_local.start(store, desired.executable, report)
        if local is not None and desired.address in ("", local.address):
            return local.address, local.more, local.token
        return desired.address, dict(HTTP), cluster_token()

    async def _deploy(self, report: Report) -> str:
        assert self._dashboard is not None
        store, desired, version = self.launch.store, self.launch.desired, self.launch.version
        own = store.version_folder(self.name, version.number)
        model = store.folder(self.name) / version.model_path if version.model_path else own
        tokens = tuple(await asyncio.to_thread(store.tokens, self.name))
        keeper = await asyncio.to_thread(self._requests.keeper)
        wish = Wish(least=desired.workers, most=_most(desired), owner=owner_of(store.home), keeper=keeper)
        loop = asyncio.get_running_loop()
        try:
            url = await asyncio.to_thread(
                deploy,
                self._dashboard,
                version,
                model,
                desired,
                wish,
                tokens,
                lambda progress: _later(loop, report, progress),
                fresh=self._fresh,
            )
        except ShipFailed as error:
            raise StartFailed(error.what, why=error.why, fix=error.fix) from error
        self._tokens = tokens
        return url

    def _remove(self, dashboard: Dashboard) -> None:
        """Delete the application, and end the cluster of this machine with its last one."""
        store = self.launch.store
        remove(dashboard, self.name, owner=owner_of(store.home))
        local = ray_local.find(store)
        if local is not None and local.address == dashboard.address and not dashboard.state()["applications"]:
            ray_local.stop(store)

    def _standing(self) -> Standing:
        assert self._dashboard is not None
        return standing(self._dashboard.state(), self.name)

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._see(await asyncio.to_thread(self._standing))
                await self._renew_tokens()
                await asyncio.to_thread(self._fetch)
            except (AutodeployError, OSError, sqlite3.Error) as error:
                if time.monotonic() - self._heard > QUIET_S:
                    self._say(f"the cluster does not tell how it is: {error}".splitlines()[0])
            except Exception:  # whatever else goes wrong, looking after it must go on
                log.exception("looking after %s in its cluster", self.name)
            await asyncio.sleep(max(0.1, LOOK_S - (time.monotonic() - began)))

    def _see(self, found: Standing) -> None:
        self._heard = time.monotonic()
        before = {worker.state.create_time: worker for worker in self.workers}
        self.workers = [self._worker(replica) for replica in found.running]
        now = {worker.state.create_time for worker in self.workers}
        for since in before.keys() - now:
            if not self.superseded and self._watching is not None and len(now) < self.count:
                self._note("worker_died", f"replica {before[since].pid} ended; the cluster replaces it", "warning")
        wrong = found.state not in ("running", "starting") or (found.version and found.version != self.version)
        self._say((found.reason or f"Ray says it is {found.state}") if wrong else "")
        if before.keys() != now:
            self._changed()

    def _say(self, gap: str) -> None:
        if gap != self.gap:
            self.gap = gap
            if gap:
                log.warning("%s: %s", self.name, gap)

    def _worker(self, replica: Replica) -> RemoteWorker:
        return RemoteWorker(
            WorkerState(
                pid=replica.pid,
                create_time=replica.since,
                boot_id=f"ray:{replica.node}",
                generation=self.number,
                version=self.version,
                ready=True,
            )
        )

    async def _renew_tokens(self) -> None:
        """Tell the replicas of another token. They take it without being replaced."""
        tokens = tuple(await asyncio.to_thread(self.launch.store.tokens, self.name))
        if tokens != self._tokens:
            log.info("%s: other tokens are good from now on", self.name)
            await self._deploy(lambda _: None)

    def _fetch(self) -> None:
        more = True
        while more:
            answer = fetch_rows(self.launch.desired.url, self._tokens[0], self._rows.cursor())
            more = bool(answer["more"])
            self._rows.write(answer)
            if answer["lost"]:
                log.warning("%s: %d rows of metrics came while nobody fetched them", self.name, answer["lost"])
        self._used.extend(self._use.take(answer["replicas"], time.time()))
        self._fetch_requests()

    def _fetch_requests(self) -> None:
        """What cannot be fetched or written now waits in the cluster, as long as there is room."""
        try:
            lost = self._requests.fetch(self.launch.desired.url)
        except (AutodeployError, OSError, sqlite3.Error) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("%s: what was recorded of requests is not here yet: %s", self.name, error)
            return
        self._complaint = ""
        if lost:
            log.warning("%s: %d requests were to be recorded, and were given up in the cluster", self.name, lost)


def _later(loop: asyncio.AbstractEventLoop, report: Report, progress: Progress) -> None:
    """Report from another thread; nobody listens any more where the loop has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(report, progress)


def _most(desired: Desired) -> int:
    """How many replicas at most: as many as at least, unless the SLO promises a latency."""
    from autodeploy_magic import slo

    latency = any(slo.METRICS[one.metric].kind == "latency" for one in slo.parse(desired.slo).objectives)
    return 4 * desired.workers if latency else desired.workers
