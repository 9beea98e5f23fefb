"""Looking on at a supervisor's live stream from a thread, as a page's relay and a notebook do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from world import WAIT_S, until

from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.live import Activity, Event, Glance, Message, Point
from autodeploy_magic.supervisor.client import Supervisor


class Watching:
    """What a stream has told so far."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.ended = threading.Event()

    @property
    def glances(self) -> dict[str, Glance]:
        """Each deployment as it was told last."""
        found: dict[str, Glance] = {}
        for message in list(self.messages):
            found |= {glance.status.name: glance for glance in message.glances or ()}
            for name in message.gone or ():
                found.pop(name, None)
        return found

    @property
    def events(self) -> list[Event]:
        return [message.event for message in list(self.messages) if message.event is not None]

    @property
    def activities(self) -> dict[str, Activity]:
        """Each activity by its title, as it was told last."""
        return {m.activity.title: m.activity for m in list(self.messages) if m.activity is not None}

    def state_of(self, title: str) -> str:
        """How an activity is, "" before it was told of."""
        found = self.activities.get(title)
        return found.state if found is not None else ""

    @property
    def points(self) -> list[Point]:
        return [message.point for message in list(self.messages) if message.point is not None]

    def wait(self, condition: Callable[[], object], within_s: float = WAIT_S) -> None:
        until(condition, within_s)


@contextlib.contextmanager
def watching(supervisor: Supervisor, *names: str) -> Iterator[Watching]:
    """Look on while the body runs."""
    seen = Watching()
    over = threading.Event()

    def look() -> None:
        with contextlib.suppress(SupervisorFailed), contextlib.closing(supervisor.live(names or None)) as stream:
            for message in stream:
                seen.messages.append(message)
                if over.is_set():
                    break
        seen.ended.set()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        until(lambda: any(message.activities is not None for message in seen.messages))
        yield seen
    finally:
        over.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()
