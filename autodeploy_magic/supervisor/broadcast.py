"""The live stream: what every panel, sidebar and terminal that looks on is told, while it looks.

Nothing is made where nobody watches. A watcher that does not keep up is let go: it comes back and is told everything
anew, which is better than to be told late.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable

from autodeploy_magic.live import Activity, Event, Glance, Hello, Message, Point
from autodeploy_magic.retuning import Retune
from autodeploy_magic.supervisor.records import package_version

__all__ = ["Broadcast", "Watcher"]

log = logging.getLogger(__name__)

BEAT_S = 2.0
MOST_WAITING = 2000
"""Messages that may wait for one watcher: over a minute of twenty deployments."""


class Watcher:
    """One that looks on. `names` are the deployments that it wants to hear of; None for all."""

    def __init__(self, names: Collection[str] | None) -> None:
        self.names = None if names is None else frozenset(names)
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue(MOST_WAITING)
        self._over = False

    def wants(self, name: str) -> bool:
        return self.names is None or name in self.names

    def put(self, message: Message) -> None:
        """Never blocks: where too much waits, the stream ends."""
        if self._over:
            return
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            log.info("a watcher did not keep up, and is let go")
            self.end()

    def end(self) -> None:
        """End the stream after what it was told so far, or at once where that is too much."""
        if not self._over:
            self._over = True
            if self._queue.full():
                self._queue.get_nowait()
            self._queue.put_nowait(None)

    async def messages(self) -> AsyncIterator[Message]:
        """What it is told, with a beat where that is nothing."""
        while True:
            try:
                message = await asyncio.wait_for(self._queue.get(), BEAT_S)
            except TimeoutError:
                message = Message(beat=True)
            if message is None:
                return
            yield message


class Broadcast:
    """Tells watchers. `glances` makes the line of every deployment, `activities` what is under way."""

    def __init__(self, glances: Callable[[], Iterable[Glance]], activities: Callable[[], tuple[Activity, ...]]) -> None:
        self._glances = glances
        self._activities = activities
        self._watchers: set[Watcher] = set()
        self._shown: dict[str, Glance] = {}
        self._closed = False

    @property
    def watched(self) -> bool:
        return bool(self._watchers)

    def wants(self, name: str) -> bool:
        """Whether anybody wants to hear of the deployment."""
        return any(watcher.wants(name) for watcher in self._watchers)

    async def watch(self, names: Collection[str] | None) -> AsyncIterator[Message]:
        """What one watcher is told, from the whole picture on until it goes away."""
        watcher = Watcher(names)
        watcher.put(Message(hello=Hello(now_s=time.time(), release=package_version())))
        if self._closed:
            watcher.end()
        else:
            self.refresh()
            self._watchers.add(watcher)
            if len(self._watchers) == 1:
                self._shown = {glance.status.name: glance for glance in self._glances()}
            watcher.put(Message(glances=tuple(glance for name, glance in self._shown.items() if watcher.wants(name))))
            watcher.put(Message(activities=tuple(one for one in self._activities() if watcher.wants(one.name))))
        try:
            async for message in watcher.messages():
                yield message
        finally:
            self._watchers.discard(watcher)

    def refresh(self) -> None:
        """Tell what has changed of the deployments since it was told last."""
        if not self._watchers:
            return
        now = {glance.status.name: glance for glance in self._glances()}
        before, self._shown = self._shown, now
        changed = [glance for name, glance in now.items() if before.get(name) != glance]
        gone = [name for name in before if name not in now]
        for watcher in list(self._watchers):
            wanted = tuple(glance for glance in changed if watcher.wants(glance.status.name))
            if wanted:
                watcher.put(Message(glances=wanted))
            left = tuple(name for name in gone if watcher.wants(name))
            if left:
                watcher.put(Message(gone=left))

    def point(self, point: Point) -> None:
        self._tell(point.name, Message(point=point))

    def event(self, event: Event) -> None:
        self._tell(event.name, Message(event=event))
        self.refresh()

    def activity(self, activity: Activity) -> None:
        self._tell(activity.name, Message(activity=activity))

    def retune(self, retune: Retune) -> None:
        self._tell(retune.name, Message(retune=retune))
        self.refresh()

    def close(self) -> None:
        """End all streams: the supervisor ends."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end()

    def _tell(self, name: str, message: Message) -> None:
        for watcher in list(self._watchers):
            if watcher.wants(name):
                watcher.put(message)
