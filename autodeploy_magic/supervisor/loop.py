"""The supervisor's parts put together: deployments, zygotes, calls; and when it ends.

It ends when told (SIGTERM, or the call), or when for `idle_s` nothing ran and nobody asked. Its deployments serve on
unless it was told to stop them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.errors import InvalidOption, StoreFailed
from autodeploy_magic.serve.http.server import Config, Server
from autodeploy_magic.serve.log import keep_small, tail
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.health.drills import Drills
from autodeploy_magic.supervisor.health.operating import Operating
from autodeploy_magic.supervisor.journal import Journal
from autodeploy_magic.supervisor.records import API, SupervisorInfo, package_version
from autodeploy_magic.supervisor.retune.retunes import Retunes
from autodeploy_magic.supervisor.retune.schedule import Schedule
from autodeploy_magic.supervisor.shipping import Shipping
from autodeploy_magic.supervisor.showing import Showing
from autodeploy_magic.supervisor.workers.watch import boot_id, create_time
from autodeploy_magic.supervisor.workers.zygotes import Zygotes

__all__ = ["Loop"]

log = logging.getLogger(__name__)


class Loop:
    """One supervisor, from its start to its end."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.zygotes = Zygotes(store.supervisor_log)
        journal = Journal(store)
        self.shipping = Shipping(store, self.zygotes, journal)
        self.deployments = Deployments(store, self.zygotes, journal, self.shipping.image_for)
        self.showing = Showing(store, self.deployments, journal)
        self.retunes = Retunes(
            store,
            self.zygotes,
            self.deployments,
            journal,
            told=self.showing.broadcast.retune,
            slo_state=lambda name: self.operating.outlook(name).slo_state,
        )
        self.operating = Operating(
            store,
            self.deployments,
            journal,
            self.retunes,
            used=self.showing.used,
            changed=self.showing.broadcast.refresh,
        )
        self.schedule = Schedule(self.deployments, self.retunes)
        self.drills = Drills(store, self.deployments, self.operating)
        self.showing.outlook = self.operating.outlook
        self._idle_s = float(settings.get("idle_s"))
        self._log_bytes = int(settings.get("log_bytes"))
        self._asked = time.monotonic()
        self._answering = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._server: Server | None = None
        self._watching: list[asyncio.Task[None]] = []

    async def run(self, ready: Callable[[], None]) -> None:
        """Take over what an earlier supervisor left, serve calls, and call `ready` once they are answered."""
        from autodeploy_magic.supervisor.api.calls import make_api

        await self.deployments.resume()
        await self.retunes.resume()
        token = secrets.token_urlsafe(32)
        path = self.store.runtime_dir / "supervisor.sock"
        self._server = Server(Config(make_api(self, token)), tick=self._tick)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        with _unix_socket(path) as listening, self._announced(path, token):
            ready()
            running = (self.showing, self.operating, self.schedule)
            self._watching = [asyncio.create_task(one.run()) for one in running]
            await self._server.serve(sockets=[listening])
        assert self._ending is not None
        await self._ending

    def end(self, *, stop_deployments: bool = False, if_idle: bool = False) -> None:
        """Begin to end. Calls under way are broken off; a swap that is broken off leaves the old generation.

        Raises `InvalidOption` where it is to end only `if_idle`, and is at work.
        """
        if if_idle:
            self._check_idle()
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(stop_deployments))

    def _check_idle(self) -> None:
        at = [one.title for one in self.showing.activities.current() if one.state == "running"]
        if at:
            raise InvalidOption(
                f"the supervisor is at work: {', '.join(at)}",
                why="it would be broken off",
                fix="wait until it is done, or cancel it: `%deploy retune NAME --cancel`, `%deploy ship NAME --cancel`",
            )

    def warm(self, executable: str) -> None:
        """Have a zygote of that Python ready for when it is needed. Returns at once."""
        self.zygotes.get(executable)

    def logs(self, name: str, lines: int) -> str:
        """The last lines of a deployment's workers."""
        self.deployments.status(name)  # raises for a name that is not known
        return tail(self.store.log_file(name), lines)

    def describe(self) -> dict[str, Any]:
        """What the process says of itself."""
        return {
            "pid": os.getpid(),
            "version": package_version(),
            "api": API,
            "zygotes": self.zygotes.pids(),
            "watch_cpu_s": self.operating.cpu_s,
        }

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a change that is under way until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Count a call as under way."""
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            self._asked = time.monotonic()

    async def _end(self, stop_deployments: bool) -> None:
        log.info("ending%s", ", and stopping all deployments" if stop_deployments else "; deployments serve on")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.retunes.close()
        try:
            if stop_deployments:
                await self.deployments.stop_all()
            await self.deployments.leave()
        finally:  # a state folder that is gone, or a full disk, must not keep the process alive
            self.zygotes.close()
            for task in self._watching:
                task.cancel()
            await asyncio.gather(*self._watching, return_exceptions=True)
            await self.operating.close()
            await self.showing.close()
            assert self._server is not None
            self._server.stop()

    def _tick(self) -> None:
        keep_small(self.store.supervisor_log, self._log_bytes)
        self.zygotes.close_idle(self._idle_s, self.deployments.executables)
        busy = self._answering or self._tasks or self.deployments.running or self.retunes.busy
        if not busy and time.monotonic() - self._asked >= self._idle_s:
            log.info("nothing has run and nobody has asked for %g s", self._idle_s)
            self.end()

    @contextlib.contextmanager
    def _announced(self, path: Path, token: str) -> Iterator[None]:
        """Be found through the state folder while this lasts."""
        pid = os.getpid()
        info = SupervisorInfo(
            pid=pid,
            create_time=create_time(pid) or 0.0,
            boot_id=boot_id(),
            socket=str(path),
            token=token,
            version=package_version(),
        )
        self.store.write_json(self.store.supervisor_file, info)
        try:
            yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                self.store.supervisor_file.unlink()


@contextlib.contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)  # of a supervisor that was killed: we hold the lock
    with socket.socket(socket.AF_UNIX) as listening:
        try:
            listening.bind(str(path))
        except OSError as error:
            raise StoreFailed(f"the socket {path} could not be made", why=str(error)) from error
        os.chmod(path, 0o600)
        listening.listen(64)
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # workers that serve on keep their control sockets there
                path.parent.rmdir()
