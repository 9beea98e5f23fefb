"""The workers that serve one version together, kept alive until they are drained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from autodeploy_magic import settings
from autodeploy_magic.errors import AutodeployError, InvalidOption, StartFailed
from autodeploy_magic.health import Severity
from autodeploy_magic.live import Kind
from autodeploy_magic.serve.http.server import GRACE_S
from autodeploy_magic.serve.log import tail
from autodeploy_magic.supervisor.workers.starting import Launch, Worker

__all__ = ["Generation", "Note"]

log = logging.getLogger(__name__)

Note = Callable[[Kind, str, Severity], None]
"""Takes what has happened: its kind, a text, how much it matters."""

LOOP_DEATHS, LOOP_S = 5, 60.0
"""So many deaths within so many seconds are a crash loop: starting again would not help."""
FIRST_DELAY_S = 0.2
"""Before the second replacement in a row; doubled for each further one. The first is made at once."""
_KILL_S = 5.0
_REACHABLE_S = 5.0


class Generation:
    """`count` workers of one version. A worker that ends unasked is replaced, until there are too many deaths.

    `launch` may be replaced, after a swap inside the workers: whoever is started from then on has the new version.
    `changed` is called after each change, and records the workers before it returns: a new one serves only after that.
    `note` is told of deaths. `failure` says why replacing was given up; "" while it was not.
    """

    def __init__(self, launch: Launch, count: int, changed: Callable[[], None], note: Note) -> None:
        self.launch = launch
        self.count = count
        self.workers: list[Worker] = []
        self.failure = ""
        self.since = time.time()
        self._changed = changed
        self._note = note
        self._deaths: deque[float] = deque(maxlen=LOOP_DEATHS)
        self._replacing: dict[Worker, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepts_no_more = asyncio.Event()

    @property
    def number(self) -> int:
        return self.launch.generation

    @property
    def version(self) -> int:
        return self.launch.version.number

    @property
    def gap(self) -> str:
        """What a worker could not load besides the champion; "" where all is there."""
        found = {number: error for worker in self.workers for number, error in worker.left_out.items()}
        return "; ".join(f"v{number} is not loaded: {error.what}" for number, error in sorted(found.items()))

    def refuse_gaps(self) -> None:
        """Raise what kept a worker from loading a version besides the champion.

        A worker serves its champion all the same: that is for replacements, which come when nobody can be told.
        """
        for worker in self.workers:
            for error in worker.left_out.values():
                raise error

    async def start(self) -> None:
        """Start all workers and wait until each is ready. Raises what the first that failed raised, and leaves none."""
        tasks = [asyncio.create_task(self.launch.worker()) for _ in range(self.count)]
        try:
            self.workers = list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Worker):
                    outcome.kill()
                    await outcome.ended
            raise

    def adopt(self, workers: Sequence[Worker]) -> None:
        """Take over workers that were found running, and bring their number to `count`."""
        self.workers = list(workers)
        self.since = min(worker.state.create_time for worker in workers)
        for worker in workers:
            self._keep(self._look_after(worker))
        for _ in range(self.count - len(workers)):
            self._keep(self._replace())

    def serve(self) -> None:
        """Let the workers serve. They are on record by now."""
        self.since = time.time()
        for worker in self.workers:
            worker.serve()
            self._keep(self._look_after(worker))

    async def reachable(self) -> None:
        """Return once another supervisor would find all workers; one that takes too long is not waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REACHABLE_S):
                await asyncio.gather(*(worker.reachable.wait() for worker in self.workers))

    async def drain(self) -> None:
        """Let the workers answer what they hold and end; kill those that do not. Returns once all have ended.

        `accepts_no_more` is set as soon as none of them takes a new connection.
        """
        try:
            await self.abandon()
            await asyncio.gather(*(worker.retire() for worker in self._living()))
        finally:
            self.accepts_no_more.set()
        await self._see_off(
            float(self.launch.desired.settings.get("drain_s", settings.get("drain_s"))) + GRACE_S + _KILL_S
        )

    async def replace(self, pid: int) -> None:
        """End one worker at once, though it be stopped or hang, and return when another serves in its place.

        Raises `InvalidOption` where none of its workers has that pid, and `StartFailed` where none can replace it.
        """
        worker = next((worker for worker in self.workers if worker.pid == pid), None)
        if worker is None:
            raise InvalidOption(f"{pid} is no worker of {self.launch.version.deployment}", fix="it has ended already")
        done = self._replacing.setdefault(worker, asyncio.get_running_loop().create_future())
        worker.kill()
        await asyncio.shield(done)
        if self.failure:
            raise StartFailed(f"worker {pid} could not be replaced", why=self.failure.splitlines()[0])
        await self.reachable()

    async def hang_up(self) -> None:
        """Let the workers answer what they were asked, and end; idle connections are closed."""
        await self._close(Worker.hang_up, GRACE_S + _KILL_S)

    async def kill(self) -> None:
        """End the workers at once."""
        await self._close(Worker.kill, _KILL_S)

    async def abandon(self) -> None:
        """Stop looking after the workers; they serve on. A replacement that is being started ends."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in list(self._replacing):
            self._replaced(worker)

    async def _close(self, end: Callable[[Worker], None], within_s: float) -> None:
        await self.abandon()
        for worker in self._living():
            end(worker)
        await self._see_off(within_s)

    def _living(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.ended.done()]

    async def _see_off(self, within_s: float) -> None:
        """Wait until the workers have ended, and kill those that take too long."""
        workers = self._living()
        if workers:
            await asyncio.wait([worker.ended for worker in workers], timeout=within_s)
        for worker in workers:
            if not worker.ended.done():
                log.warning("worker %d did not end within %g s and is killed", worker.pid, within_s)
                worker.kill()
                await worker.ended
        self.workers = []
        self._changed()

    async def _look_after(self, worker: Worker) -> None:
        ending = await asyncio.shield(worker.ended)
        died = time.monotonic()
        self.workers.remove(worker)
        asked = worker in self._replacing
        how = "it did not answer and was ended" if asked else str(ending)
        log.warning("worker %d of %s died: %s", worker.pid, self.launch.version.deployment, how)
        if not asked:
            self._mourn(how)
        self._changed()
        await self._replace()
        self._replaced(worker)
        if self.failure:
            self._note("failed", self.failure.splitlines()[0], "critical")
        else:
            after_s = time.monotonic() - died
            self._note("worker_died", f"worker {worker.pid}: {how}; replaced after {after_s:.2g} s", "warning")

    def _replaced(self, worker: Worker) -> None:
        done = self._replacing.pop(worker, None)
        if done is not None and not done.done():
            done.set_result(None)

    async def _replace(self) -> None:
        while not self.failure:
            await asyncio.sleep(self._delay_s())
            launch = self.launch
            try:
                worker = await launch.worker()
            except Exception as error:  # whatever goes wrong, looking after the workers must go on
                log.exception("no replacement for %s", self.launch.version.deployment)
                self._mourn(error.what if isinstance(error, AutodeployError) else repr(error))
                self._changed()
                continue
            if launch is not self.launch:  # a swap overtook it
                worker.kill()
                await worker.ended
                continue
            self.workers.append(worker)
            self._changed()
            worker.serve()
            self._keep(self._look_after(worker))
            return

    def _mourn(self, how: str) -> None:
        self._deaths.append(time.monotonic())
        if len(self._deaths) == LOOP_DEATHS and self._deaths[-1] - self._deaths[0] <= LOOP_S:
            name = self.launch.version.deployment
            lines = tail(self.launch.store.log_file(name), 10)
            self.failure = (
                f"workers died {LOOP_DEATHS} times within {LOOP_S:g} s; the last time: {how}\n{lines}\n"
                f"when the cause is mended: %deploy restart {name}"
            )
            log.error("%s: %s", name, self.failure)

    def _delay_s(self) -> float:
        """Nothing before the first replacement; later ones wait, each twice as long, and not all at the same moment."""
        recent = sum(time.monotonic() - death <= LOOP_S for death in self._deaths)
        if recent <= 1:
            return 0.0
        return float(FIRST_DELAY_S * 2 ** (recent - 2) * random.uniform(0.75, 1.25))

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
