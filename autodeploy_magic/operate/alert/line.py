"""The queue of one channel's target, and the thread that empties it while there is something in it.

Alerts wait here by deployment, the latest word of each, until a message of them is due. A message that does not arrive
is sent again with growing pauses, then given up and counted. Nobody else waits for any of that.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autodeploy_magic.health import Alert
from autodeploy_magic.operate.alert.channels.base import Channel, Deadline, Facts, Undelivered
from autodeploy_magic.operate.alert.message import Message, compose

__all__ = ["Line", "Pace"]

log = logging.getLogger(__name__)

_HOUR_S = 3600.0


class Pace(NamedTuple):
    """How a line takes its time.

    `wait_s`: for what belongs to a first alert. `interval_s`: from a message to the next of the same deployment.
    `per_hour`: messages; something critical waits for no interval, and has twice as many. `tries`: of one message, each
    with `deadline_s`; the pauses between begin with `pause_s`, and each is up to twice the one before.
    """

    wait_s: float = 5.0
    interval_s: float = 30.0
    per_hour: int = 30
    tries: int = 5
    deadline_s: float = 10.0
    pause_s: float = 1.0


@dataclass
class _Batch:
    """What a deployment's next message will say. `late`: the limit of messages has held it back."""

    facts: Facts
    due_s: float
    alerts: dict[str, Alert] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)
    late: bool = False

    @property
    def urgent(self) -> bool:
        return any(alert.state == "firing" and alert.severity == "critical" for alert in self.alerts.values())


class Line:
    """Takes alerts at once; delivers them in a thread of its own, which ends when there is nothing to do."""

    def __init__(
        self, channel: Channel, target: str, label: str, pace: Pace, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.label = label
        self.names: set[str] = set()
        self._channel = channel
        self._target = target
        self._pace = pace
        self._clock = clock
        self._news = threading.Condition()
        self._batches: dict[str, _Batch] = {}
        self._sent: deque[float] = deque()
        self._last: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._under_way: Deadline | None = None
        self._closing_s: float | None = None
        self._fault = ""
        self._given_up = 0

    @property
    def fault(self) -> str:
        """What is wrong with it; "" where the last message arrived."""
        with self._news:
            lost = f" ({self._given_up} message{'s' if self._given_up > 1 else ''} given up)" if self._given_up else ""
            return f"{self._fault}{lost}" if self._fault else ""

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        with self._news:
            return self._thread is None and not self._batches

    def put(self, facts: Facts, alerts: Sequence[Alert], done: Mapping[str, str] | None = None) -> None:
        """Take alerts of a deployment; `done` words what was done about them, by rule."""
        with self._news:
            if self._closing_s is not None:
                return
            self.names.add(facts.name)
            now = self._clock()
            batch = self._batches.get(facts.name)
            if batch is None:
                wait_s, interval_s = (self._pace.wait_s, self._pace.interval_s) if self._channel.groups else (0.0, 0.0)
                due_s = max(now + wait_s, self._last.get(facts.name, float("-inf")) + interval_s)
                batch = self._batches[facts.name] = _Batch(facts, due_s)
            batch.facts = facts
            batch.alerts |= {alert.id: alert for alert in alerts}
            batch.done |= done or {}
            if batch.urgent:
                batch.due_s = min(batch.due_s, now + self._pace.wait_s)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"alerts {self.label}", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def close(self, until_s: float) -> None:
        """Send what waits, and take no more. Returns at once; `join` waits. `until_s` is of the clock."""
        with self._news:
            self._closing_s = until_s
            self._news.notify_all()

    def join(self) -> bool:
        """Wait until it has ended or its time is over; what is under way then is cut off. Says whether all was sent."""
        thread = self._thread
        if thread is not None and self._closing_s is not None:
            thread.join(max(0.0, self._closing_s - self._clock()))
            if thread.is_alive():
                with self._news:
                    under_way = self._under_way
                if under_way is not None:
                    under_way.end()
                thread.join(1.0)  # a name that is being looked up cannot be cut off: the thread is a daemon
        return not self._batches and (thread is None or not thread.is_alive())

    # --- in the thread

    def _run(self) -> None:
        while True:
            message = self._next()
            if message is None:
                return
            self._deliver(*message)

    def _next(self) -> tuple[Message, Facts] | None:
        """Wait until a message is due; None where there is nothing more to do."""
        with self._news:
            while self._batches:
                now, closing = self._clock(), self._closing_s
                if closing is not None and now >= closing:
                    break
                while self._sent and now - self._sent[0] >= _HOUR_S:
                    self._sent.popleft()
                first = min(self._batches.values(), key=self._due_s)
                due_s = self._due_s(first)
                if closing is not None or now >= due_s:
                    return self._taken(first, now)
                self._news.wait(due_s - now)
            self._thread = None
            return None

    def _due_s(self, batch: _Batch) -> float:
        """When a batch is sent: not before there is room for it in the hour."""
        most = self._pace.per_hour * (2 if batch.urgent else 1)
        if not self._channel.groups or len(self._sent) < most:
            return batch.due_s
        due_s = max(batch.due_s, self._sent[-most] + _HOUR_S)
        batch.late = batch.late or due_s > batch.due_s
        return due_s

    def _taken(self, batch: _Batch, now: float) -> tuple[Message, Facts]:
        name = batch.facts.name
        del self._batches[name]
        self._sent.append(now)
        self._last = {other: at for other, at in self._last.items() if now - at < self._pace.interval_s} | {name: now}
        held = len(batch.alerts) if batch.late else 0
        alerts = list(batch.alerts.values())
        return compose(name, alerts, url=batch.facts.url, held=held, done=batch.done), batch.facts

    def _deliver(self, message: Message, facts: Facts) -> None:
        pause_s = self._pace.pause_s
        for tried in range(1, self._pace.tries + 1):
            try:
                self.once(message, facts)
            except Undelivered as error:
                last = not error.again or tried == self._pace.tries or self._closing_s is not None
                self._failed(str(error), given_up=last)
                if last:
                    return
                self._pause(max(error.after_s, random.uniform(pause_s, 2 * pause_s)))
                pause_s *= 2
            else:
                with self._news:
                    self._fault, self._given_up = "", 0
                return

    def once(self, message: Message, facts: Facts, *, within_s: float | None = None) -> None:
        """Try it once. Raises `Undelivered`, also for what the channel itself has no name for."""
        closing = self._closing_s
        left_s = max(0.0, closing - self._clock()) if closing is not None else self._pace.deadline_s
        deadline = Deadline(min(self._pace.deadline_s if within_s is None else within_s, left_s))
        with self._news:
            self._under_way = deadline
        try:
            self._channel.deliver(self._target, message, facts, deadline)
        except Undelivered:
            raise
        except Exception as error:
            log.exception("alerts: channel %s failed", self.label)
            raise Undelivered(f"{type(error).__name__}: {error}", again=False) from error
        finally:
            with self._news:
                self._under_way = None

    def _failed(self, why: str, *, given_up: bool) -> None:
        with self._news:
            told, self._fault = self._fault == why, why
            self._given_up += given_up
        if given_up or not told:
            log.warning("alerts: %s: %s%s", self.label, why, "; given up" if given_up else "")

    def _pause(self, seconds: float) -> None:
        """Wait before it is tried again; not where it is to end: then it is tried at once, and for the last time."""
        with self._news:
            until_s = self._clock() + seconds
            while self._closing_s is None and (left := until_s - self._clock()) > 0:
                self._news.wait(left)
