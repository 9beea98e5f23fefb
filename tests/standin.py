"""What stands at the supervisor's place where a test has to decide when it says what."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from typing import Any

from autodeploy_magic.contracts import Progress, Report, Status
from autodeploy_magic.errors import SupervisorFailed
from autodeploy_magic.live import Activity, Glance, Hello, Message

__all__ = ["StandIn", "activity", "beginning", "glance"]

WAIT_S = 20.0


def glance(name: str, state: Any = "running") -> Glance:
    return Glance(status=Status(name=name, state=state, version=1))


def activity(name: str, state: Any = "running") -> Activity:
    return Activity(id=f"a-{name}", name=name, title=f"restart {name}", state=state)


def beginning(*names: str) -> list[Message]:
    """How a stream begins where there are those deployments."""
    return [
        Message(hello=Hello(now_s=1.0, release="1")),
        Message(glances=tuple(map(glance, names))),
        Message(activities=()),
    ]


class StandIn:
    """Speaks the documented stream, and takes any call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.steps: queue.Queue[Progress | Any] = queue.Queue()
        """What the call under way says next; anything but a step is its result, and an exception is raised."""
        self.threads: list[threading.Thread] = []
        self.streams = 0
        self.says: queue.Queue[Message | None] = queue.Queue()
        """What the stream says next; None ends it."""
        self.absent = False

    def page_call(self, method: str, path: str, body: Any = None, report: Report | None = None) -> Any:
        self.calls.append((method, path, body))
        self.threads.append(threading.current_thread())
        while isinstance(said := self.steps.get(timeout=WAIT_S), Progress):
            assert report is not None
            report(said)
        if isinstance(said, Exception):
            raise said
        return said

    def live(self, names: Any = None) -> Iterator[Message]:
        if self.absent:
            raise SupervisorFailed("no supervisor runs")
        self.streams += 1
        self.threads.append(threading.current_thread())
        while (message := self.says.get(timeout=WAIT_S)) is not None:
            yield message

    def say(self, *messages: Message | None) -> None:
        for message in messages:
            self.says.put(message)

    async def ended(self) -> None:
        """Wait until the threads that read the stream have seen that nobody wants it any more: at a beat they look."""
        while any(thread.is_alive() for thread in self.threads):
            self.say(Message(beat=True))
            await asyncio.sleep(0.02)
