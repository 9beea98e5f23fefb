"""What is shown of deployments: their lines, views, series and events, and the stream of what changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from autodeploy_magic.calling.probe import probe
from autodeploy_magic.live import Activity, Event, Glance, Probe, Series, View
from autodeploy_magic.metrics.events import events
from autodeploy_magic.metrics.resources import Resources
from autodeploy_magic.metrics.series import series
from autodeploy_magic.operate.observe.observatory import Observatory, Subject
from autodeploy_magic.store import Store
from autodeploy_magic.supervisor.activities import Activities
from autodeploy_magic.supervisor.broadcast import Broadcast
from autodeploy_magic.supervisor.deployments import Deployments
from autodeploy_magic.supervisor.glances import Glances, Outlook
from autodeploy_magic.supervisor.journal import Journal

__all__ = ["Showing"]

log = logging.getLogger(__name__)

_AFTER_S = 0.05
"""How long after the clock's seconds change deployments are observed."""
_FLUSH_S = 5.0


class Showing:
    """Composes what pages, notebooks and terminals look at. Calls that read files are for a thread."""

    def __init__(self, store: Store, deployments: Deployments, journal: Journal) -> None:
        self._store = store
        self._deployments = deployments
        self._glances = Glances(store, self._outlook)
        self._observatory = Observatory()
        self.activities = Activities(self._told)
        self.broadcast = Broadcast(self.glances, self.activities.current)
        self._journal = journal
        journal.listen = self.broadcast.event

        self.outlook: Callable[[str], Outlook] = lambda _: Outlook()

    def used(self, name: str) -> Resources | None:
        """What its processes took in the newest second; None where that is not known."""
        return self._observatory.latest(name)

    def glances(self) -> list[Glance]:
        """Every deployment in one line, by name."""
        return [self._glances.glance(status) for status in self._deployments.statuses()]

    def view(self, name: str) -> View:
        """Everything of one deployment besides its points. Raises `UnknownDeployment`."""
        self._written()
        return self._glances.view(self._deployments.status(name), self._deployments.desired(name))

    def series(self, name: str, seconds: float, points: int, until: float | None) -> Series:
        """A window of a deployment. Raises `UnknownDeployment` or `InvalidOption`."""
        recorded = bool(self._deployments.desired(name).settings.get("metrics", True))
        try:
            self._observatory.flush(name).result(_FLUSH_S)
        except TimeoutError:
            log.warning("%s: what was observed last is not written down yet: the disk is slow", name)
        return series(self._store.metrics_file(name), name, seconds, points, until, recorded=recorded)

    def events(self, name: str, seconds: float) -> list[Event]:
        """What happened to it in the last `seconds`, oldest first. Raises `UnknownDeployment`."""
        self._deployments.status(name)
        self._written()
        return events(self._store.metrics_file(name), name, time.time() - seconds)

    def test(self, name: str, rows: int) -> Probe:
        """Send rows of its sample. Raises `UnknownDeployment`, and `StartFailed` where it does not answer."""
        return probe(self._store, self._deployments.desired(name), rows)

    def remove(self, name: str) -> None:
        """A deployment is removed: let go of its file, which goes with it, and of what was read of it."""
        self._observatory.forget(name)
        self._glances.forget(name)

    async def run(self) -> None:
        """Observe every second, and tell who watches. Goes on whatever fails, until it is cancelled."""
        while True:
            now_s = time.time()
            await asyncio.sleep(int(now_s) + 1 + _AFTER_S - now_s)
            try:
                await self._observe()
            except Exception:  # what watches must not end over what it sees
                log.exception("a second was not observed")

    async def close(self) -> None:
        """End all streams, and write down what was observed."""
        self.broadcast.close()
        await asyncio.to_thread(self._journal.close)
        await asyncio.wrap_future(self._observatory.close())

    async def _observe(self) -> None:
        subjects = [
            Subject(
                name=desired.name,
                processes=tuple((worker.pid, worker.create_time) for worker in workers),
                folder=self._store.folder(desired.name),
                file=self._store.metrics_file(desired.name),
                recorded=bool(desired.settings.get("metrics", True)),
                elsewhere=self._deployments.take_used(desired.name),
            )
            for desired, workers in self._deployments.observed()
        ]
        watched = [subject.name for subject in subjects if self.broadcast.wants(subject.name)]
        for point in await asyncio.wrap_future(self._observatory.observe(time.time(), subjects, watched)):
            self.broadcast.point(point)
        self.broadcast.refresh()

    def _outlook(self, name: str) -> Outlook:
        return self.outlook(name)

    def _written(self) -> None:
        try:
            self._journal.flush(_FLUSH_S)
        except TimeoutError:
            log.warning("the latest events are not written down yet: the disk is slow")

    def _told(self, activity: Activity) -> None:
        self.broadcast.activity(activity)
